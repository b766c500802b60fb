//! What the product says about itself in tables: limits, events, routes. The page `/docs` and the files below
//! `docs/reference` are made from here, so they say what the code does.

use bongsu_domain::ad;
use bongsu_domain::text::{LMS_BYTES, SMS_BYTES, SUBJECT_BYTES};
use bongsu_domain::webhook::RETRIES_MAX;
use bongsu_send::SCHEDULE_DAYS;
use bongsu_store::facts::EventKind;
use bongsu_store::keys::{KEYS_MAX, NETWORKS_MAX};
use bongsu_store::senders::SENDERS_MAX;
use bongsu_store::{accounts, groups, relays, team, wallet, webhooks};

use crate::app::ApiConfig;
use crate::query::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::route::{Access, ROUTES, Route};
use crate::signing::{NONCE_LEN, SKEW_MAX_S};
use crate::streams::STREAMS_MAX;
use crate::tree::VALUES_MAX;

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow {
    /// What is limited.
    pub what: &'static str,
    /// The same in Korean.
    pub what_ko: &'static str,
    /// How much, as it is unless configured.
    pub value: String,
    /// The configuration key that changes it.
    pub key: Option<&'static str>,
}

/// One type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRow {
    /// Its word.
    pub word: &'static str,
    /// When it happens.
    pub when: &'static str,
    /// The same in Korean.
    pub when_ko: &'static str,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRow {
    /// Method.
    pub method: String,
    /// Path.
    pub path: &'static str,
    /// Operation id.
    pub id: &'static str,
    /// Who may call it.
    pub access: String,
    /// What it does.
    pub summary: &'static str,
}

/// The limits that callers meet.
pub fn limits() -> Vec<LimitRow> {
    let config = ApiConfig::default();
    let row = |what, what_ko, value: String, key| LimitRow { what, what_ko, value, key };
    let fixed = |what, what_ko, value: String| row(what, what_ko, value, None);
    let set = |what, what_ko, value: String, key| row(what, what_ko, value, Some(key));
    vec![
        set("request body", "요청 본문", bytes(config.body_bytes_max), "limits.body_bytes"),
        set(
            "all request bodies at once",
            "동시에 처리하는 본문 전체",
            bytes(config.bodies_bytes_max),
            "limits.bodies_bytes",
        ),
        fixed("JSON values in a body", "본문의 JSON 값 개수", grouped(VALUES_MAX.into())),
        set(
            "requests a second of an account",
            "계정의 초당 요청 수",
            grouped(config.requests_per_s.into()),
            "limits.requests_per_s",
        ),
        set(
            "messages of an account at once",
            "계정이 한 번에 보낼 수 있는 건수",
            grouped(config.messages_burst.into()),
            "limits.messages_burst",
        ),
        fixed(
            "messages a second of a new account, and the most",
            "새 계정의 초당 발송 건수와 최대값",
            format!("{} and {}", grouped(accounts::DEFAULT_RATE_PER_S.into()), grouped(accounts::RATE_MAX.into())),
        ),
        fixed("rows of a batch", "묶음 발송의 건수", grouped(crate::send::ROWS_MAX as u64)),
        fixed("rows of a group", "그룹 발송의 건수", grouped(groups::ROWS_MAX.into())),
        fixed("text of an SMS, in CP949", "단문 본문 (CP949)", format!("{SMS_BYTES} bytes")),
        fixed("text of an LMS, in CP949", "장문 본문 (CP949)", format!("{} bytes", grouped(LMS_BYTES.into()))),
        fixed("subject of an LMS, in CP949", "장문 제목 (CP949)", format!("{SUBJECT_BYTES} bytes")),
        fixed("clientRef", "고객 참조값", "64 characters".to_owned()),
        fixed("billCode", "부서 코드", "32 characters".to_owned()),
        fixed("labels of a message", "메시지의 라벨", "10, names of 30 and values of 100 characters".to_owned()),
        fixed("expiresIn", "유효 시간", "1 second to 72 hours".to_owned()),
        fixed(
            "window against equal messages",
            "중복 발송 방지 시간",
            format!("0 to {} seconds", grouped(accounts::DEDUPE_MAX_S.into())),
        ),
        fixed("Idempotency-Key", "멱등 키", "1 to 255 of A-Za-z0-9._-, kept 24 hours".to_owned()),
        fixed("rows of a page", "목록 한 쪽의 건수", format!("{LIMIT_MAX}, {LIMIT_DEFAULT} unless asked")),
        fixed("API keys of an account", "계정의 API 키", KEYS_MAX.to_string()),
        fixed("networks of an API key", "API 키의 허용 네트워크", NETWORKS_MAX.to_string()),
        fixed("numbers of a team", "팀 번호", team::TEAM_MAX.to_string()),
        fixed("sender numbers of an account", "계정의 발신번호", SENDERS_MAX.to_string()),
        fixed("clock of a signed request", "서명 요청의 시각 차이", format!("within {SKEW_MAX_S} seconds")),
        fixed(
            "nonce of a signed request",
            "서명 요청의 nonce",
            format!("{} to {} of A-Za-z0-9._-, once", NONCE_LEN.start(), NONCE_LEN.end()),
        ),
        fixed("bytes of a row of a group", "그룹 한 행의 크기", format!("{} KiB", crate::rows::ROW_BYTES_MAX >> 10)),
        fixed("groups of an account that are not sent", "발송 전 그룹", grouped(groups::STAGING_MAX.into())),
        fixed("sendAt", "예약 시각", format!("up to {SCHEDULE_DAYS} days ahead")),
        fixed("adName", "광고의 전송자 명칭", format!("{} characters", ad::NAME_MAX)),
        fixed("webhooks of an account", "계정의 웹훅", webhooks::WEBHOOKS_MAX.to_string()),
        fixed("events of a call of a webhook", "웹훅 한 번의 이벤트 수", webhooks::BATCH_MAX.to_string()),
        fixed("calls of a webhook at once", "웹훅의 동시 호출", webhooks::CONCURRENCY_MAX.to_string()),
        fixed("tries of a webhook after the first", "웹훅의 재시도", RETRIES_MAX.to_string()),
        fixed("event streams of an account at once", "계정의 동시 이벤트 스트림", STREAMS_MAX.to_string()),
        fixed("relays of an installation", "중계사 수", (u16::from(relays::NO_MAX) + 1).to_string()),
        fixed("one credit", "한 번의 충전액", grouped(wallet::MAX_AMOUNT.unsigned_abs())),
    ]
}

/// Every type of event.
pub fn events() -> Vec<EventRow> {
    EventKind::ALL
        .into_iter()
        .map(|kind| {
            let (when, when_ko) = match kind {
                EventKind::Accepted => ("A message was accepted.", "메시지가 접수되었습니다"),
                EventKind::Held => {
                    ("It cannot go on by itself; an operator replays it.", "처리할 수 없어 보류되었습니다")
                }
                EventKind::Submitted => ("A relay took it.", "중계사가 받았습니다"),
                EventKind::Delivered => ("The handset has it.", "단말에 도착했습니다"),
                EventKind::Undelivered => ("A relay says why the handset does not have it.", "전달되지 않았습니다"),
                EventKind::Expired => ("Its time ran out.", "유효 시간이 지났습니다"),
                EventKind::Uncertain => ("The relay cannot tell the result.", "중계사가 결과를 알지 못합니다"),
                EventKind::Failed => ("It never left.", "발송되지 못했습니다"),
                EventKind::Canceled => ("Its owner canceled it.", "취소되었습니다"),
                EventKind::GroupFinished => ("The last message of a group ended.", "그룹의 모든 메시지가 끝났습니다"),
            };
            EventRow { word: kind.as_str(), when, when_ko }
        })
        .collect()
}

/// Every route, in the order of the table.
pub fn routes() -> Vec<RouteRow> {
    ROUTES.iter().map(row).collect()
}

fn row(route: &Route) -> RouteRow {
    let access = match route.access {
        Access::Public => "everybody".to_owned(),
        Access::Key => "any key".to_owned(),
        Access::Scope(scope) => format!("scope {}", scope.as_str()),
        Access::Account(scope) => format!("scope {}, of an account", scope.as_str()),
        Access::Operator => "operator".to_owned(),
    };
    RouteRow { method: route.method.to_string(), path: route.path, id: route.id, access, summary: route.summary }
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(count: usize) -> String {
    format!("{} MiB", count >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn every_row_is_told_in_both_languages() {
        assert!(limits().iter().all(|row| !row.what.is_empty() && !row.what_ko.is_empty()));
        assert_eq!(events().len(), EventKind::ALL.len());
        assert!(events().iter().all(|row| row.word.contains('.') && row.when.ends_with('.')));
    }
}
