//! Messages in log lines: their ids, as many as a line can hold.

use bongsu_domain::MessageId;

/// Ids that a line names; of further ones it tells how many there are.
const NAMED_MAX: usize = 20;

/// Names messages, each once.
pub(crate) fn messages(ids: impl IntoIterator<Item = i64>) -> String {
    let mut all: Vec<i64> = ids.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    let named: Vec<String> = all.iter().take(NAMED_MAX).map(|id| MessageId(*id).to_string()).collect();
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named.join(" "),
        more => format!("{} and {more} more", named.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_so_many_messages_and_counts_the_others() {
        assert_eq!(messages([]), "");
        assert_eq!(messages([7, 5, 7]), format!("{} {}", MessageId(5), MessageId(7)));
        let many = messages(0..NAMED_MAX as i64 + 3);
        assert_eq!(many.matches("msg_").count(), NAMED_MAX);
        assert!(many.ends_with(" and 3 more"), "{many}");
    }
}
