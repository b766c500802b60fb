//! From a draft to a message that can be written: numbers, text, channel, limits; every finding at once.

use std::time::Duration;

use bongsu_domain::{Channel, Code, Hours, Lane, PhoneNumber, Timestamp, ad, phone, text, variables};

use crate::types::{Draft, Finding};

/// The longest client reference, in characters.
pub const CLIENT_REF_MAX: usize = 64;
/// The longest department code, in characters.
pub const BILL_CODE_MAX: usize = 32;
/// The most labels of a message.
pub const LABELS_MAX: usize = 10;
/// The longest key and value of a label, in characters.
pub const LABEL_MAX: (usize, usize) = (30, 100);
/// The longest text before it is counted, in bytes of UTF-8.
const TEXT_MAX: usize = 16 * 1024;
/// The longest a message may wait.
const EXPIRY_MAX: Duration = Duration::from_secs(72 * 3600);

/// How far in the past a time to leave may lie: the clocks of callers are not ours.
const LATE_MAX: Duration = Duration::from_secs(60);

/// What the rules have to know beside the draft.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// How long it may wait when its caller does not say.
    pub expiry: Duration,
    /// The moment of accept.
    pub now: Timestamp,
    /// The latest moment it may be scheduled for.
    pub latest: Timestamp,
    /// When advertisements may leave.
    pub hours: Hours,
    /// What its account says of itself in advertisements.
    pub ads: &'a ad::Sender,
}

impl Terms<'_> {
    /// When a time to leave is kept, and none when it is now.
    ///
    /// # Errors
    /// A sentence about a time that is past, or too far ahead.
    pub fn time(&self, asked: Timestamp) -> Result<Option<Timestamp>, String> {
        if self.now.since(asked) > LATE_MAX {
            return Err(format!("is past; it is {} now", self.now.rfc3339()));
        }
        if asked > self.latest {
            return Err(format!("is too far ahead; the latest is {}", self.latest.rfc3339()));
        }
        // Times are kept in milliseconds.
        Ok(Some(Timestamp::from_millis(asked.millis())).filter(|at| *at > self.now))
    }

    /// How long from now on a message waits that leaves then and lives so long; the nights do not count for an
    /// advertisement.
    fn wait(&self, lane: Lane, send_at: Option<Timestamp>, life: Duration) -> Duration {
        let start = send_at.unwrap_or(self.now);
        let end = if lane == Lane::Ad { self.hours.after(start, life) } else { start.plus(life) };
        end.since(self.now)
    }
}

/// A draft after every rule that needs no look-up.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Recipient.
    pub to: PhoneNumber,
    /// Sender number.
    pub from: PhoneNumber,
    /// Lane.
    pub lane: Lane,
    /// Channel after the automatic choice.
    pub channel: Channel,
    /// Bytes in CP949.
    pub bytes: u32,
    /// The text, filled in and normalised.
    pub text: String,
    /// The title, normalised.
    pub subject: Option<String>,
    /// When it is to leave; absent: at once.
    pub send_at: Option<Timestamp>,
    /// How long it may wait, from now on.
    pub expires_in: Duration,
    /// The draft it came from, for its references and labels.
    pub draft: Draft,
}

impl Prepared {
    /// Who writes what to whom, as the recipient sees it: the same bytes for equal messages, other ones for others.
    pub fn content(&self) -> Vec<u8> {
        let mut bytes = vec![self.channel as u8];
        let subject = self.subject.as_deref().unwrap_or("");
        for part in [self.from.national(), self.to.national(), subject, &self.text] {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// What the rules make of a draft.
struct Examined {
    to: PhoneNumber,
    from: PhoneNumber,
    channel: Channel,
    bytes: u32,
    text: String,
    subject: Option<String>,
    expires_in: Duration,
}

/// Applies the rules.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn prepare(draft: Draft, terms: &Terms<'_>) -> Result<Prepared, Vec<Finding>> {
    let mut findings = Vec::new();
    let asked = draft.send_at.map_or(Ok(None), |asked| terms.time(asked));
    let send_at = asked.map_err(|why| findings.push(find("sendAt", Code::ScheduleOutOfRange, why))).ok().flatten();
    let examined = examine(&draft, terms.expiry);
    if let Ok(said) = &examined
        && draft.lane == Lane::Ad
    {
        let faults = ad::check(&said.text, said.subject.as_deref(), terms.ads);
        findings.extend(faults.iter().map(|f| find(f.field(), Code::AdFormatInvalid, f.detail().into())));
    }
    match examined {
        Ok(Examined { to, from, channel, bytes, text, subject, expires_in }) if findings.is_empty() => {
            let expires_in = terms.wait(draft.lane, send_at, expires_in);
            Ok(Prepared { to, from, lane: draft.lane, channel, bytes, text, subject, send_at, expires_in, draft })
        }
        examined => Err(findings.into_iter().chain(examined.err().unwrap_or_default()).collect()),
    }
}

/// Everything that the rules find wrong with a draft that is refused already, so that its caller hears all at once.
pub fn check(draft: &Draft) -> Vec<Finding> {
    examine(draft, EXPIRY_MAX).err().unwrap_or_default()
}

fn examine(draft: &Draft, default_expiry: Duration) -> Result<Examined, Vec<Finding>> {
    let mut findings = Vec::new();
    let to =
        phone::parse_recipient(&draft.to).map_err(|code| findings.push(find("to", code, number_detail(code)))).ok();
    let from =
        phone::parse_sender(&draft.from).map_err(|code| findings.push(find("from", code, number_detail(code)))).ok();
    let (text, subject) = fill_in(draft, &mut findings);
    let subject = subject.and_then(|subject| check_subject(&subject, &mut findings));
    let text = text.and_then(|text| check_text(draft, text, subject.is_some(), &mut findings));
    check_references(draft, &mut findings);
    check_ad(draft, &mut findings);
    let expires_in = draft.expires_in.unwrap_or(default_expiry);
    if expires_in.is_zero() || expires_in > EXPIRY_MAX {
        findings.push(find("expiresIn", Code::BadRequest, "between 1 second and 72 hours".into()));
    }
    match (to, from, text) {
        (Some(to), Some(from), Some((text, bytes, channel))) if findings.is_empty() => {
            Ok(Examined { to, from, channel, bytes, text, subject, expires_in })
        }
        _ => Err(findings),
    }
}

/// The text of a message from the request's text and a row's variables, as [`prepare`] made it.
pub fn render(template: &str, values: &[(String, String)]) -> Option<String> {
    let filled = variables::fill_one(template, values)?;
    Some(text::normalise(&filled).into_owned())
}

fn find(field: &str, code: Code, detail: String) -> Finding {
    Finding::new(field, code, detail)
}

fn number_detail(code: Code) -> String {
    match code {
        Code::BadRecipientFormat => "a Korean mobile number such as 010-1234-5678".into(),
        Code::CountryNotAllowed => "a Korean mobile number; messages to other countries are not sent".into(),
        _ => "a registered Korean sender number, 8 to 11 digits".into(),
    }
}

/// Text and title with their variables filled in.
fn fill_in(draft: &Draft, findings: &mut Vec<Finding>) -> (Option<String>, Option<String>) {
    let subject = draft.subject.as_deref();
    if draft.text.len() > TEXT_MAX {
        findings.push(find("text", Code::BodyTooLong, format!("over {TEXT_MAX} bytes")));
        return (None, None);
    }
    match variables::fill([&draft.text, subject.unwrap_or_default()], &draft.variables) {
        Ok([text, title]) => (Some(text), subject.is_some().then_some(title)),
        Err(error) => {
            let missing = error.missing.iter().map(|name| (name, "has no value"));
            let extra = error.extra.iter().map(|name| (name, "is not in the text"));
            findings.extend(missing.chain(extra).map(|(name, what)| {
                find(&format!("variables.{name}"), Code::VariableMissingOrExtra, format!("#{{{name}}} {what}"))
            }));
            (None, None)
        }
    }
}

fn check_subject(subject: &str, findings: &mut Vec<Finding>) -> Option<String> {
    let subject = text::normalise(subject).into_owned();
    match text::measure(&subject) {
        Ok(bytes) if bytes > text::SUBJECT_BYTES => findings.push(find(
            "subject",
            Code::SubjectTooLong,
            format!("{bytes} bytes in CP949, at most {} are allowed", text::SUBJECT_BYTES),
        )),
        Ok(_) if subject.contains('\n') => {
            findings.push(find("subject", Code::ControlCharacter, "a title has one line".into()));
        }
        Ok(_) => {}
        Err(error) => findings.extend(bad_characters("subject", &error)),
    }
    (!subject.is_empty()).then_some(subject)
}

fn check_text(
    draft: &Draft,
    filled: String,
    has_subject: bool,
    findings: &mut Vec<Finding>,
) -> Option<(String, u32, Channel)> {
    let text = match text::normalise(&filled) {
        std::borrow::Cow::Borrowed(_) => filled,
        std::borrow::Cow::Owned(text) => text,
    };
    if text.trim().is_empty() {
        findings.push(find("text", Code::EmptyBody, "the text is empty".into()));
        return None;
    }
    match text::measure(&text) {
        Err(error) => {
            findings.extend(bad_characters("text", &error));
            None
        }
        Ok(bytes) => match text::choose(draft.channel, bytes, has_subject) {
            Ok(channel) => Some((text, bytes, channel)),
            Err(code) => {
                let field = if code == Code::SubjectTooLong { "subject" } else { "text" };
                findings.push(find(
                    field,
                    code,
                    format!("{bytes} bytes in CP949 do not fit {}", draft.channel.as_str()),
                ));
                None
            }
        },
    }
}

fn bad_characters(field: &str, error: &text::TextError) -> Vec<Finding> {
    error
        .findings()
        .map(|(code, bad)| {
            let advice = bad.suggestion.map_or(String::new(), |s| format!("; write {s:?} instead"));
            let detail = format!("U+{:04X} at character {} cannot be sent{advice}", bad.ch as u32, bad.index);
            find(field, code, detail)
        })
        .collect()
}

/// The lane says what an advertisement is; whoever says so twice says the same.
fn check_ad(draft: &Draft, findings: &mut Vec<Finding>) {
    let detail = match (draft.ad, draft.lane) {
        (Some(true), lane) if lane != Lane::Ad => {
            format!("an advertisement goes on the lane ad, not {}", lane.as_str())
        }
        (Some(false), Lane::Ad) => "what goes on the lane ad is an advertisement".to_owned(),
        _ => return,
    };
    findings.push(find("ad", Code::BadRequest, detail));
}

fn check_references(draft: &Draft, findings: &mut Vec<Finding>) {
    let too_long = |field: &str, max: usize| find(field, Code::FieldTooLong, format!("at most {max} characters"));
    let over = |text: &str, max: usize| text.chars().count() > max;
    if draft.client_ref.as_ref().is_some_and(|r| over(r, CLIENT_REF_MAX)) {
        findings.push(too_long("clientRef", CLIENT_REF_MAX));
    }
    if draft.client_ref.as_ref().is_some_and(|r| r.is_empty()) {
        findings.push(find("clientRef", Code::BadRequest, "must not be empty".into()));
    }
    if draft.bill_code.as_ref().is_some_and(|r| over(r, BILL_CODE_MAX)) {
        findings.push(too_long("billCode", BILL_CODE_MAX));
    }
    for (field, text) in [("clientRef", &draft.client_ref), ("billCode", &draft.bill_code)] {
        findings.extend(text.as_deref().and_then(|text| unwritten(field, text)));
    }
    if draft.labels.len() > LABELS_MAX {
        findings.push(find("labels", Code::BadRequest, format!("at most {LABELS_MAX} labels")));
    }
    for (key, value) in &draft.labels {
        let field = format!("labels.{key}");
        if key.contains('=') {
            // `label=name=value` asks for a name up to its first one.
            findings.push(find(&field, Code::BadRequest, "the name of a label has no =".into()));
        }
        findings.extend(unwritten(&field, key).or_else(|| unwritten(&field, value)));
        if key.is_empty() || over(key, LABEL_MAX.0) || over(value, LABEL_MAX.1) {
            findings.push(find(
                &field,
                Code::FieldTooLong,
                format!("key 1 to {}, value at most {} characters", LABEL_MAX.0, LABEL_MAX.1),
            ));
        }
    }
}

/// The first character that nobody writes: a control character, or the replacement of one in a wrong charset.
fn unwritten(field: &str, text: &str) -> Option<Finding> {
    let is_bad = |ch: char| ch.is_control() || ch == char::REPLACEMENT_CHARACTER;
    let (at, ch) = text.chars().enumerate().find(|(_, ch)| is_bad(*ch))?;
    let code = if ch.is_control() { Code::ControlCharacter } else { Code::UnencodableCharacter };
    Some(find(field, code, format!("U+{:04X} at character {at} cannot be kept", ch as u32)))
}

/// clientRef, billCode and labels as the store keeps them: a small JSON object, absent when there is nothing.
pub fn extra(draft: &Draft) -> Option<String> {
    if draft.client_ref.is_none() && draft.bill_code.is_none() && draft.labels.is_empty() {
        return None;
    }
    Extra::of(draft).text()
}

/// What [`extra`] wrote.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Extra {
    /// clientRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<String>,
    /// billCode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<String>,
    /// labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub l: Vec<(String, String)>,
    /// Number of the row in its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
}

impl Extra {
    /// What a draft says of itself.
    pub fn of(draft: &Draft) -> Self {
        Self { r: draft.client_ref.clone(), b: draft.bill_code.clone(), l: draft.labels.clone(), n: None }
    }

    /// What was stored; nothing when it cannot be read.
    pub fn parse(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// As it is stored.
    pub fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::ChannelChoice;

    use super::*;

    fn draft() -> Draft {
        Draft {
            channel: ChannelChoice::Auto,
            lane: Lane::Bulk,
            to: "010-2000-0001".into(),
            from: "021588000".into(),
            text: "주문 1번".into(),
            subject: None,
            variables: Vec::new(),
            client_ref: None,
            bill_code: None,
            labels: Vec::new(),
            expires_in: None,
            send_at: None,
            ad: None,
            max_cost: None,
        }
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(&format!("2026-03-02T{text}+09:00")).expect("a time")
    }

    fn terms(ads: &ad::Sender) -> Terms<'_> {
        let now = time("10:00:00");
        let latest = now.plus(Duration::from_secs(180 * 86_400));
        Terms { expiry: Duration::from_secs(60), now, latest, hours: Hours::default(), ads }
    }

    fn refusals(draft: Draft) -> Vec<(String, Code)> {
        let ads = ad::Sender { name: Some("봉수가게".into()), opt_out: Some("0801234567".into()) };
        let findings = prepare(draft, &terms(&ads)).err().unwrap_or_default();
        findings.into_iter().map(|finding| (finding.field, finding.code)).collect()
    }

    #[test]
    fn a_time_to_leave_is_kept_within_a_minute_ago_and_half_a_year() {
        let at = |send_at| prepare(Draft { send_at: Some(send_at), ..draft() }, &terms(&ad::Sender::default()));
        let day = Duration::from_secs(86_400);
        let now = time("10:00:00");
        for (asked, kept, waits) in [
            (time("09:59:00"), None, 60),
            (now, None, 60),
            (time("10:00:01"), Some(time("10:00:01")), 61),
            (now.plus(180 * day), Some(now.plus(180 * day)), 180 * 86_400 + 60),
        ] {
            let prepared = at(asked).expect("a good time");
            assert_eq!((prepared.send_at, prepared.expires_in), (kept, Duration::from_secs(waits)));
        }
        for asked in [time("09:58:59.999"), now.minus(day), now.plus(180 * day).plus(Duration::from_millis(1))] {
            let findings = at(asked).expect_err("a bad time");
            assert_eq!((findings[0].field.as_str(), findings[0].code), ("sendAt", Code::ScheduleOutOfRange));
        }
    }

    #[test]
    fn an_advertisement_is_one_by_its_lane_and_says_so() {
        let good = "(광고)봉수가게 할인\n무료수신거부 080-123-4567";
        let ad = |text: &str| Draft { lane: Lane::Ad, text: text.into(), ..draft() };
        assert_eq!(refusals(ad(good)), []);
        assert_eq!(refusals(Draft { ad: Some(true), ..ad(good) }), []);
        let format = |field: &str| (field.to_owned(), Code::AdFormatInvalid);
        assert_eq!(refusals(ad("[광고]봉수가게")), [format("text"), format("text")]);
        let titled = Draft { subject: Some("할인".into()), channel: ChannelChoice::Lms, ..ad(good) };
        assert_eq!(refusals(titled), [format("subject")]);
        assert_eq!(refusals(Draft { lane: Lane::Bulk, ..ad("(광고)") }), []);
        let says = ("ad".to_owned(), Code::BadRequest);
        assert_eq!(refusals(Draft { ad: Some(false), ..ad(good) }), std::slice::from_ref(&says));
        assert_eq!(refusals(Draft { ad: Some(true), ..draft() }), [says]);
    }

    #[test]
    fn a_title_has_variables_like_the_text() {
        let titled = |subject: &str, values: &[(&str, &str)]| Draft {
            channel: ChannelChoice::Lms,
            subject: Some(subject.into()),
            text: "주문 #{번호}번".into(),
            variables: values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..draft()
        };
        let ads = ad::Sender::default();
        let good = prepare(titled("#{이름}님 안내", &[("번호", "1"), ("이름", "홍길동")]), &terms(&ads));
        let good = good.expect("a good draft");
        assert_eq!((good.subject.as_deref(), good.text.as_str()), (Some("홍길동님 안내"), "주문 1번"));
        assert_eq!(render("주문 #{번호}번", &good.draft.variables).as_deref(), Some("주문 1번"));
        let missing = |name: &str| (format!("variables.{name}"), Code::VariableMissingOrExtra);
        assert_eq!(refusals(titled("#{이름}님 안내", &[("번호", "1")])), [missing("이름")]);
        assert_eq!(refusals(titled("안내", &[("번호", "1"), ("이름", "홍길동")])), [missing("이름")]);
        let long = titled("#{이름}", &[("번호", "1"), ("이름", &"가".repeat(21))]);
        assert_eq!(refusals(long), [("subject".to_owned(), Code::SubjectTooLong)]);
    }

    #[test]
    fn no_night_uses_an_advertisement_up() {
        let ads = ad::Sender { name: Some("봉수가게".into()), opt_out: Some("0801234567".into()) };
        let text: std::sync::Arc<str> = "(광고)봉수가게\n무료거부 0801234567".into();
        let terms = Terms { now: time("20:59:59"), ..terms(&ads) };
        let lives = |lane| {
            let draft = Draft { lane, text: text.clone(), expires_in: Some(Duration::from_secs(3_600)), ..draft() };
            prepare(draft, &terms).expect("a good draft").expires_in.as_secs()
        };
        assert_eq!((lives(Lane::Bulk), lives(Lane::Ad)), (3_600, 3_600 + 11 * 3_600));
    }

    #[test]
    fn a_foreign_recipient_is_told_of_recipients() {
        let findings = prepare(Draft { to: "+1 202 555 0100".into(), ..draft() }, &terms(&ad::Sender::default()));
        let findings = findings.expect_err("another country");
        assert_eq!((findings[0].field.as_str(), findings[0].code), ("to", Code::CountryNotAllowed));
        assert!(findings[0].detail.contains("other countries"), "{}", findings[0].detail);
    }

    #[test]
    fn what_a_message_is_called_by_can_be_written_and_asked_for() {
        let label = |name: &str, value: &str| Draft { labels: vec![(name.into(), value.into())], ..draft() };
        let control = |field: &str| vec![(field.to_owned(), Code::ControlCharacter)];
        let broken = |field: &str| vec![(field.to_owned(), Code::UnencodableCharacter)];
        let own = |text: &str| Draft { client_ref: Some(text.into()), ..draft() };
        let bill = |text: &str| Draft { bill_code: Some(text.into()), ..draft() };
        assert_eq!(refusals(own("a\nb")), control("clientRef"));
        assert_eq!(refusals(own("\u{0}")), control("clientRef"));
        assert_eq!(refusals(own("주문\u{fffd}")), broken("clientRef"));
        assert_eq!(refusals(bill("\t")), control("billCode"));
        assert_eq!(refusals(bill("\u{fffd}")), broken("billCode"));
        assert_eq!(refusals(label("a=b", "c")), [("labels.a=b".to_owned(), Code::BadRequest)]);
        assert_eq!(refusals(label("a", "\u{7}")), control("labels.a"));
        for good in [own("주문-1 🙂"), bill("영업1팀"), label("캠페인", "a=b")] {
            assert_eq!(refusals(good), []);
        }
    }

    fn content(draft: Draft) -> Vec<u8> {
        prepare(draft, &terms(&ad::Sender::default())).expect("a good draft").content()
    }

    #[test]
    fn equal_is_what_the_recipient_sees_alike() {
        let first = content(draft());
        let filled = Draft { text: "주문 #{n}번".into(), variables: vec![("n".into(), "1".into())], ..draft() };
        let booked = Draft { client_ref: Some("r".into()), bill_code: Some("b".into()), ..draft() };
        for same in [
            filled,
            booked,
            Draft { to: "+82 10 2000 0001".into(), ..draft() },
            Draft { lane: Lane::Auth, ..draft() },
            Draft { channel: ChannelChoice::Sms, ..draft() },
            Draft { subject: Some("".into()), ..draft() },
            Draft { expires_in: Some(Duration::from_secs(9)), ..draft() },
        ] {
            assert_eq!(content(same.clone()), first, "{same:?}");
        }
        let titled = Draft { subject: Some("주문".into()), ..draft() };
        let others = [
            Draft { to: "01020000002".into(), ..draft() },
            Draft { from: "021588001".into(), ..draft() },
            Draft { text: "주문 2번".into(), ..draft() },
            Draft { channel: ChannelChoice::Lms, ..draft() },
            Draft { subject: Some("주문 1".into()), text: "번".into(), ..draft() },
            Draft { subject: Some("주문".into()), text: " 1번".into(), ..draft() },
            titled,
        ];
        let mut seen = std::collections::HashSet::from([first]);
        for other in others {
            assert!(seen.insert(content(other.clone())), "{other:?}");
        }
    }
}
