//! Tests of lanes.

use super::*;

#[test]
fn lanes_keep_their_words_and_numbers() {
    let words = [(0, "auth"), (1, "realtime"), (2, "bulk"), (3, "ad")];
    for (lane, (number, word)) in Lane::ALL.into_iter().zip(words) {
        assert_eq!((lane as u8, lane.as_str()), (number, word));
        assert_eq!((Lane::from_u8(number), Lane::parse(word)), (Some(lane), Some(lane)));
    }
    assert_eq!((Lane::from_u8(4), Lane::parse("AUTH")), (None, None));
}
