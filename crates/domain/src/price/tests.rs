//! Tests of units and prices.

use super::*;

#[test]
fn units_keep_their_words_and_numbers() {
    for (unit, (number, word)) in Unit::ALL.into_iter().zip([(0, "point:sms"), (1, "point:kakao"), (2, "krw")]) {
        assert_eq!((unit as u8, unit.as_str()), (number, word));
        assert_eq!((Unit::from_u8(number), Unit::parse(word)), (Some(unit), Some(unit)));
    }
    assert_eq!((Unit::from_u8(3), Unit::parse("KRW")), (None, None));
}

#[test]
fn an_lms_costs_three_points_and_prices_do_not_overflow() {
    assert_eq!(Price::default_for(Channel::Sms), Price { unit: Unit::PointSms, amount: 1 });
    assert_eq!(Price::default_for(Channel::Lms).times(10_000).map(|price| price.amount), Some(30_000));
    assert_eq!(Price { unit: Unit::Krw, amount: i64::MAX }.times(2), None);
}
