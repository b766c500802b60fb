//! Tests of variables.

use super::*;
use proptest::prelude::*;

fn pairs(values: &[(&str, &str)]) -> Vec<(String, String)> {
    values.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn variables_are_filled_once() {
    for (template, values, filled) in [
        ("안녕", &[][..], "안녕"),
        ("#{이름}님", &[("이름", "봉수")], "봉수님"),
        ("#{이름}님", &[("#{이름}", "봉수")], "봉수님"),
        ("#{ 이름 }님", &[(" 이름", "봉수")], "봉수님"),
        ("#{a}#{b}#{a}", &[("b", "2"), ("a", "1")], "121"),
        ("#{a}", &[("a", "#{b}")], "#{b}"),
        ("#{a}", &[("a", "")], ""),
        ("#{} #{ } #{열림", &[], "#{} #{ } #{열림"),
        ("} #a {b} #{#{a}", &[("a", "1")], "} #a {b} #{1"),
        ("#{a}}", &[("a", "1")], "1}"),
    ] {
        assert_eq!(fill([template], &pairs(values)), Ok([filled.to_owned()]), "{template}");
    }
}

#[test]
fn missing_and_extra_names_are_all_told() {
    let error = fill(["#{a} #{b} #{b} #{c}"], &pairs(&[("b2", "x"), ("c", "y"), ("#{d}", "z")])).unwrap_err();
    assert_eq!(error.missing, ["a", "b"]);
    assert_eq!(error.extra, ["b2", "d"]);
    assert_eq!(error.to_string(), "missing: a, b; not in the text: b2, d");
}

#[test]
fn texts_that_belong_together_share_their_values() {
    let values = pairs(&[("이름", "봉수"), ("번호", "7")]);
    let both = ["#{이름}님 안내", "주문 #{번호}번, #{이름}님"];
    assert_eq!(fill(both, &values), Ok(["봉수님 안내".to_owned(), "주문 7번, 봉수님".to_owned()]));
    assert_eq!(fill([both[0]], &values).unwrap_err().extra, ["번호"]);
    assert_eq!(fill([both[0], "#{a} #{a}"], &values[..1]).unwrap_err().missing, ["a"]);
    assert_eq!(fill_one(both[0], &values).as_deref(), Some("봉수님 안내"));
    assert_eq!(fill_one(both[1], &values[..1]), None);
}

proptest! {
    #[test]
    fn any_template_is_filled_or_refused(template in "[#{} a-c가]{0,30}", value in any::<String>()) {
        if let Ok(filled) = fill([&template], &pairs(&[("a", &value)])) {
            prop_assert!(filled[0].contains(&value));
        }
    }

    #[test]
    fn a_text_without_variables_stays(text in "[^}]*") {
        prop_assert_eq!(fill([&text], &[]), Ok([text]));
    }
}
