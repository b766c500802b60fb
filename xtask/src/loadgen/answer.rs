//! What an accepted answer says: how many messages, and their ids.

/// Ids of messages in an answer, in order.
pub fn ids(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    const MARK: &[u8] = b"\"msg_";
    let mut rest = body;
    std::iter::from_fn(move || {
        let at = find(rest, MARK)? + 1;
        let end = at + rest[at..].iter().position(|b| *b == b'"')?;
        let id = &rest[at..end];
        rest = &rest[end..];
        Some(id)
    })
}

/// `counts.accepted` of a batch's answer.
pub fn accepted(body: &[u8]) -> Option<u64> {
    let mark = b"\"accepted\":";
    let rest = &body[find(body, mark)? + mark.len()..];
    let start = rest.iter().position(|b| *b != b' ')?;
    let digits: Vec<u8> = rest[start..].iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// `code` of a problem, like `UM8004`; empty when there is none.
pub fn code(body: &[u8]) -> &str {
    const MARK: &[u8] = b"\"code\":\"";
    let Some(at) = find(body, MARK) else { return "" };
    let rest = &body[at + MARK.len()..];
    let end = rest.iter().position(|b| *b == b'"').unwrap_or(0);
    std::str::from_utf8(&rest[..end]).unwrap_or_default()
}

fn find(body: &[u8], mark: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + body.get(from..)?.iter().position(|b| *b == mark[0])?;
        if body[at..].starts_with(mark) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_count_of_a_batch() {
        let body = br#"{"batchId":"bat_1","counts":{"rows":3,"accepted": 2,"rejected":1},
            "results":[{"index":0,"id":"msg_0abc"},{"index":1,"error":{"code":"UM2001"}},{"index":2,"id":"msg_0abd"}]}"#;
        assert_eq!(ids(body).collect::<Vec<_>>(), [b"msg_0abc", b"msg_0abd"]);
        assert_eq!(accepted(body), Some(2));
        assert_eq!(accepted(b"{}"), None);
        assert_eq!(ids(b"{\"id\":\"msg_").count(), 0);
    }

    #[test]
    fn the_code_of_a_problem() {
        assert_eq!(code(br#"{"type":"x","status":503,"code":"UM8004","detail":""}"#), "UM8004");
        assert_eq!(code(b"bad gateway"), "");
    }
}
