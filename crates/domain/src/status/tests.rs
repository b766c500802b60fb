//! Tests of the states and moves, every pair of them.

use super::*;

#[test]
fn states_keep_their_words_and_numbers() {
    let numbers = [
        (0, "held"),
        (1, "scheduled"),
        (2, "queued"),
        (3, "sending"),
        (4, "submitted"),
        (5, "uncertain"),
        (6, "parked"),
        (10, "delivered"),
        (11, "undelivered"),
        (12, "expired"),
        (13, "failed"),
        (14, "canceled"),
        (15, "read"),
    ];
    for (status, (number, word)) in Status::ALL.into_iter().zip(numbers) {
        assert_eq!((status as u8, status.as_str()), (number, word));
        assert_eq!((Status::from_u8(number), Status::parse(word)), (Some(status), Some(status)));
        assert_eq!(status.is_final(), number >= 10);
    }
    assert_eq!((Status::from_u8(7), Status::parse("accepted")), (None, None));
}

#[test]
fn every_pair_of_states_moves_as_the_table_says() {
    // Rows are from, columns are to, both in the order of Status::ALL; x may, . may not.
    let table = [
        /* held        */ ".xx...x..xxx.",
        /* scheduled   */ "x.x...x..xxx.",
        /* queued      */ "...xxxxxxxxxx",
        /* sending     */ "....xxxxxxx.x",
        /* submitted   */ ".....xxxxxx.x",
        /* uncertain   */ "......xxxxx.x",
        /* parked      */ "..x....xxxxxx",
        /* delivered   */ "............x",
        /* undelivered */ ".............",
        /* expired     */ ".............",
        /* failed      */ ".............",
        /* canceled    */ ".............",
        /* read        */ ".............",
    ];
    for (from, row) in Status::ALL.into_iter().zip(table) {
        for (to, mark) in Status::ALL.into_iter().zip(row.chars()) {
            assert_eq!(can_move(from, to), mark == 'x', "{} → {}", from.as_str(), to.as_str());
        }
    }
}

#[test]
fn every_open_state_can_end() {
    for from in Status::ALL.into_iter().filter(|status| !status.is_final()) {
        assert!(can_move(from, Status::Expired) && can_move(from, Status::Failed), "{}", from.as_str());
    }
}

#[test]
fn the_origin_words_follow_status_and_tries() {
    for status in Status::ALL {
        let word = |tries| origin_status(status, tries).as_str();
        let expected = match status {
            Status::Delivered | Status::Read => ["SUCCESS", "RESEND"],
            _ if status.is_final() => ["FAIL", "FAIL"],
            _ => ["PENDING", "PENDING"],
        };
        assert_eq!([word(1), word(2)], expected, "{}", status.as_str());
    }
}

#[test]
fn only_a_message_that_certainly_went_nowhere_cannot_have_arrived() {
    let gone = [Status::Undelivered, Status::Failed, Status::Canceled];
    for status in Status::ALL {
        for code in Code::ALL {
            let nowhere = gone.contains(&status) || (status == Status::Expired && code == Code::ExpiredBeforeSend);
            assert_eq!(may_have_arrived(status, code), !nowhere, "{status:?} {code}");
        }
    }
    let no_answer = [Code::ResultTimeout, Code::VendorTimeout];
    assert!(no_answer.iter().all(|code| may_have_arrived(code.final_status(true), *code)), "a relay may have it");
}
