//! The rows of the code table.

use super::{Action, Billing, Code};

/// How many codes there are.
pub(super) const COUNT: usize = 96;

/// One code with everything that is known about it.
pub(super) struct Row {
    pub code: Code,
    pub name: &'static str,
    pub http_status: u16,
    pub action: Action,
    pub billing: Billing,
    pub title_en: &'static str,
    pub title_ko: &'static str,
    pub ims: Option<&'static str>,
    pub kakao: &'static [u16],
    text: [u8; 6],
}

impl Row {
    const fn ims(mut self, code: &'static str) -> Row {
        self.ims = Some(code);
        self
    }

    const fn kakao(mut self, codes: &'static [u16]) -> Row {
        self.kakao = codes;
        self
    }

    pub(super) fn text(&'static self) -> &'static str {
        str::from_utf8(&self.text).expect("UM and four ASCII digits")
    }
}

const fn row(
    code: Code,
    name: &'static str,
    http_status: u16,
    action: Action,
    billing: Billing,
    title_en: &'static str,
    title_ko: &'static str,
) -> Row {
    Row {
        code,
        name,
        http_status,
        action,
        billing,
        title_en,
        title_ko,
        ims: None,
        kakao: &[],
        text: text(code.number()),
    }
}

/// `UM` and four digits.
const fn text(number: u16) -> [u8; 6] {
    let mut text = *b"UM0000";
    let mut rest = number;
    let mut place = 6;
    while place > 2 {
        place -= 1;
        text[place] += (rest % 10) as u8;
        rest /= 10;
    }
    text
}

/// The codes of the rows, in their order.
pub(super) const fn codes() -> [Code; COUNT] {
    let mut codes = [Code::OkAccepted; COUNT];
    let mut index = 0;
    while index < COUNT {
        codes[index] = ROWS[index].code;
        index += 1;
    }
    codes
}

/// The table, ascending by number, so that a code is found by binary search.
#[rustfmt::skip]
pub(super) static ROWS: [Row; COUNT] = [
    row(Code::OkAccepted, "OK_ACCEPTED", 202, Action::None, Billing::Billable, "Accepted", "접수되었습니다").ims("0000"),
    row(Code::OkSubmitted, "OK_SUBMITTED", 200, Action::None, Billing::Billable, "Handed to the relay", "중계사에 전달되었습니다"),
    row(Code::OkDelivered, "OK_DELIVERED", 200, Action::None, Billing::Billable, "Delivered", "수신이 확인되었습니다").ims("0000").kakao(&[0, 1000]),
    row(Code::OkRead, "OK_READ", 200, Action::None, Billing::Billable, "Read", "수신자가 읽었습니다"),
    row(Code::BadRequest, "BAD_REQUEST", 400, Action::Fix, Billing::Refundable, "The request is not valid", "요청 형식이 올바르지 않습니다").ims("1400").kakao(&[1001, 1004, 1030, 3023, 4100, 4101, 4102, 4110, 4120, 4121, 4122, 4123, 4124, 4125, 4126, 4127, 4128, 4129]),
    row(Code::Unauthenticated, "UNAUTHENTICATED", 401, Action::Fix, Billing::Refundable, "The API key is missing or wrong", "API 키가 없거나 올바르지 않습니다").ims("1100").kakao(&[1002]),
    row(Code::Forbidden, "FORBIDDEN", 403, Action::Fix, Billing::Refundable, "The API key may not do this", "이 API 키에는 권한이 없습니다").kakao(&[1011, 1012, 1013]),
    row(Code::ClockSkewOrReplay, "CLOCK_SKEW_OR_REPLAY", 401, Action::Fix, Billing::Refundable, "The signature is too old or was used before", "서명 시각이 맞지 않거나 이미 사용된 서명입니다"),
    row(Code::IdempotencyInProgress, "IDEMPOTENCY_IN_PROGRESS", 409, Action::Same, Billing::Refundable, "The first request with this idempotency key is still running", "같은 멱등 키의 요청이 아직 처리 중입니다").kakao(&[4161]),
    row(Code::IdempotencyMismatch, "IDEMPOTENCY_MISMATCH", 422, Action::Fix, Billing::Refundable, "This idempotency key was used with another body", "같은 멱등 키로 다른 내용이 요청되었습니다").kakao(&[4131]),
    row(Code::DuplicateRecipient, "DUPLICATE_RECIPIENT", 422, Action::Fix, Billing::Refundable, "The same recipient is in the request twice", "한 요청에 같은 수신번호가 두 번 있습니다"),
    row(Code::TooManyRows, "TOO_MANY_ROWS", 413, Action::Fix, Billing::Refundable, "Too many messages in one request", "한 요청의 건수가 한도를 넘었습니다").kakao(&[4138, 4156]),
    row(Code::ScheduleOutOfRange, "SCHEDULE_OUT_OF_RANGE", 422, Action::Fix, Billing::Refundable, "The time to send is too near, too far or past", "예약 시각이 허용 범위를 벗어났습니다").kakao(&[4143]),
    row(Code::DuplicateClientRef, "DUPLICATE_CLIENT_REF", 409, Action::Fix, Billing::Refundable, "This client reference was used before", "이미 사용된 고객 참조값(clientRef)입니다").ims("2030"),
    row(Code::NotFound, "NOT_FOUND", 404, Action::Fix, Billing::Refundable, "There is no such thing here", "대상을 찾을 수 없습니다"),
    row(Code::AlreadySent, "ALREADY_SENT", 409, Action::No, Billing::Refundable, "Too late, the message is on its way", "이미 발송이 시작되어 취소하거나 바꿀 수 없습니다"),
    row(Code::Conflict, "CONFLICT", 409, Action::Fix, Billing::Refundable, "It exists already or was changed meanwhile", "이미 존재하거나 그 사이에 변경되었습니다"),
    row(Code::MethodNotAllowed, "METHOD_NOT_ALLOWED", 405, Action::Fix, Billing::Refundable, "This path does not take this method", "이 경로에서 허용되지 않는 메서드입니다"),
    row(Code::UnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", 415, Action::Fix, Billing::Refundable, "The body is of a type or charset that is not taken here", "이 경로가 받지 않는 본문 형식 또는 문자셋입니다"),
    row(Code::BodyTooLarge, "BODY_TOO_LARGE", 413, Action::Fix, Billing::Refundable, "The request body is too large", "요청 본문이 너무 큽니다"),
    row(Code::RequestTimeout, "REQUEST_TIMEOUT", 408, Action::Same, Billing::Refundable, "The request took too long to arrive", "요청이 제시간에 도착하지 않았습니다"),
    row(Code::DuplicateContent, "DUPLICATE_CONTENT", 409, Action::No, Billing::Refundable, "An equal message was accepted a short time ago", "같은 내용의 메시지가 조금 전에 접수되었습니다"),
    row(Code::BadRecipientFormat, "BAD_RECIPIENT_FORMAT", 422, Action::Fix, Billing::Refundable, "The recipient is not a number we can send to", "수신번호 형식이 올바르지 않습니다").ims("2020").kakao(&[1020, 3008]),
    row(Code::CountryNotAllowed, "COUNTRY_NOT_ALLOWED", 422, Action::Fix, Billing::Refundable, "Sending to this country is not allowed", "발송이 허용되지 않은 국가입니다"),
    row(Code::RecipientNotForKey, "RECIPIENT_NOT_FOR_KEY", 422, Action::Fix, Billing::Refundable, "This kind of API key may not send to this number", "이 종류의 API 키로는 보낼 수 없는 수신번호입니다"),
    row(Code::UnencodableCharacter, "UNENCODABLE_CHARACTER", 422, Action::Fix, Billing::Refundable, "A character cannot be sent in a text message", "문자로 보낼 수 없는 글자가 있습니다"),
    row(Code::ControlCharacter, "CONTROL_CHARACTER", 422, Action::Fix, Billing::Refundable, "The text holds a control character", "본문에 제어 문자가 있습니다"),
    row(Code::BodyTooLong, "BODY_TOO_LONG", 422, Action::Fix, Billing::Refundable, "The text is too long", "본문이 허용 길이를 넘었습니다").ims("2010").kakao(&[3014, 4144]),
    row(Code::SubjectTooLong, "SUBJECT_TOO_LONG", 422, Action::Fix, Billing::Refundable, "The subject is too long, or this type has none", "제목이 너무 길거나 제목을 쓸 수 없는 유형입니다").kakao(&[3029]),
    row(Code::EmptyBody, "EMPTY_BODY", 422, Action::Fix, Billing::Refundable, "The text is empty", "본문이 비어 있습니다").kakao(&[3013]),
    row(Code::AttachmentInvalid, "ATTACHMENT_INVALID", 422, Action::Fix, Billing::Refundable, "The attachment cannot be sent", "첨부 파일을 보낼 수 없습니다").ims("4002").kakao(&[2005, 3024]),
    row(Code::SenderNotRegistered, "SENDER_NOT_REGISTERED", 422, Action::Fix, Billing::Refundable, "The sender number is not registered or not valid", "등록되지 않았거나 형식이 잘못된 발신번호입니다").kakao(&[1003, 1006]),
    row(Code::SenderBlocked, "SENDER_BLOCKED", 422, Action::Fix, Billing::Refundable, "The sender number is blocked", "차단된 발신번호입니다").kakao(&[1007, 1021, 1022, 1023, 1024, 1025, 1026, 1027]),
    row(Code::SenderProfileInvalid, "SENDER_PROFILE_INVALID", 422, Action::Fix, Billing::Refundable, "The sender profile is not valid", "발신 프로필이 유효하지 않습니다").kakao(&[1003, 1006, 1014, 1016, 4103, 4104]),
    row(Code::AdFormatInvalid, "AD_FORMAT_INVALID", 422, Action::Fix, Billing::Refundable, "The advertising label, name or opt-out is missing", "광고 표기, 발신자명 또는 수신거부 문구가 없습니다"),
    row(Code::AdNightBlocked, "AD_NIGHT_BLOCKED", 422, Action::Hold, Billing::Refundable, "Advertising may not be sent at night", "야간에는 광고를 보낼 수 없습니다"),
    row(Code::AdConsentMissing, "AD_CONSENT_MISSING", 422, Action::No, Billing::Refundable, "The recipient has not agreed to advertising", "광고 수신 동의가 없습니다"),
    row(Code::OutsideChannelHours, "OUTSIDE_CHANNEL_HOURS", 422, Action::Hold, Billing::Refundable, "The channel does not send at this hour", "채널의 발송 가능 시간이 아닙니다").kakao(&[3022]),
    row(Code::OptedOut, "OPTED_OUT", 422, Action::No, Billing::Refundable, "The recipient has opted out", "수신을 거부한 번호입니다"),
    row(Code::BlockListed, "BLOCK_LISTED", 422, Action::No, Billing::Refundable, "The recipient is on the block list", "차단 목록에 있는 번호입니다"),
    row(Code::SuppressedBounce, "SUPPRESSED_BOUNCE", 422, Action::No, Billing::Refundable, "The address bounced before", "이전에 반송된 주소입니다"),
    row(Code::SpamFiltered, "SPAM_FILTERED", 422, Action::No, Billing::ByContract, "Stopped by a spam filter", "스팸으로 분류되어 차단되었습니다"),
    row(Code::FraudBlocked, "FRAUD_BLOCKED", 422, Action::No, Billing::Refundable, "Stopped as likely fraud", "부정 사용이 의심되어 차단되었습니다"),
    row(Code::NoBalance, "NO_BALANCE", 402, Action::Hold, Billing::Refundable, "The balance is not enough", "잔액이 부족합니다"),
    row(Code::SpendLimit, "SPEND_LIMIT", 402, Action::Hold, Billing::Refundable, "The spending limit is reached", "사용 한도에 도달했습니다"),
    row(Code::RateLimited, "RATE_LIMITED", 429, Action::Same, Billing::Refundable, "Too many requests, slow down", "요청이 너무 많습니다. 잠시 후 다시 시도하십시오"),
    row(Code::QuotaExceeded, "QUOTA_EXCEEDED", 429, Action::Hold, Billing::Refundable, "The quota is used up", "할당량을 모두 사용했습니다"),
    row(Code::AccountSuspended, "ACCOUNT_SUSPENDED", 403, Action::Fix, Billing::Refundable, "The account is suspended", "정지된 계정입니다").kakao(&[1011]),
    row(Code::FeatureNotEnabled, "FEATURE_NOT_ENABLED", 422, Action::Fix, Billing::Refundable, "This feature or channel is not available", "사용할 수 없는 기능 또는 채널입니다").kakao(&[1028, 3050]),
    row(Code::RecipientUnknown, "RECIPIENT_UNKNOWN", 422, Action::Next, Billing::ByContract, "The number does not exist", "없는 번호입니다"),
    row(Code::RecipientSuspended, "RECIPIENT_SUSPENDED", 422, Action::Next, Billing::ByContract, "The number is suspended", "정지된 번호입니다"),
    row(Code::RecipientRefused, "RECIPIENT_REFUSED", 422, Action::No, Billing::ByContract, "The message was refused for this recipient", "수신이 거부되었습니다"),
    row(Code::NotChannelUser, "NOT_CHANNEL_USER", 422, Action::Next, Billing::Refundable, "The recipient does not use this channel", "이 채널을 사용하지 않는 수신자입니다").ims("3018").kakao(&[3018, 3019]),
    row(Code::NotFriendOrTarget, "NOT_FRIEND_OR_TARGET", 422, Action::Next, Billing::Refundable, "The recipient is not a friend or target", "친구 또는 발송 대상이 아닙니다"),
    row(Code::ChannelBlockedByUser, "CHANNEL_BLOCKED_BY_USER", 422, Action::Next, Billing::Refundable, "The recipient blocked the channel", "수신자가 채널을 차단했습니다").kakao(&[3020]),
    row(Code::DeviceUnsupported, "DEVICE_UNSUPPORTED", 422, Action::Next, Billing::Refundable, "The device cannot show this message", "단말이 지원하지 않는 메시지입니다").kakao(&[3021]),
    row(Code::AdultCheckRequired, "ADULT_CHECK_REQUIRED", 422, Action::No, Billing::Refundable, "The recipient must pass an adult check", "성인 인증이 필요합니다"),
    row(Code::TokenGone, "TOKEN_GONE", 422, Action::Next, Billing::Refundable, "The push token is no longer valid", "푸시 토큰이 만료되었습니다"),
    row(Code::TokenWrongApp, "TOKEN_WRONG_APP", 422, Action::Next, Billing::Refundable, "The push token belongs to another app", "다른 앱의 푸시 토큰입니다"),
    row(Code::MailboxUnknown, "MAILBOX_UNKNOWN", 422, Action::No, Billing::Billable, "The mailbox does not exist", "없는 메일 주소입니다"),
    row(Code::MailDomainUnknown, "MAIL_DOMAIN_UNKNOWN", 422, Action::No, Billing::Refundable, "The mail domain does not exist", "없는 메일 도메인입니다"),
    row(Code::Complained, "COMPLAINED", 422, Action::No, Billing::Billable, "The recipient complained", "수신자가 스팸으로 신고했습니다"),
    row(Code::PoweredOff, "POWERED_OFF", 422, Action::Next, Billing::ByContract, "The phone is switched off", "전원이 꺼져 있습니다"),
    row(Code::OutOfCoverage, "OUT_OF_COVERAGE", 422, Action::Next, Billing::ByContract, "The phone is out of coverage", "음영 지역에 있습니다"),
    row(Code::InboxFull, "INBOX_FULL", 422, Action::Next, Billing::ByContract, "The inbox is full", "수신함이 가득 찼습니다"),
    row(Code::DeviceBusy, "DEVICE_BUSY", 422, Action::Same, Billing::ByContract, "The phone is busy", "단말이 사용 중입니다"),
    row(Code::RadioFailure, "RADIO_FAILURE", 422, Action::Same, Billing::ByContract, "The radio link failed", "무선망 오류입니다"),
    row(Code::DeviceTempError, "DEVICE_TEMP_ERROR", 422, Action::Same, Billing::ByContract, "The phone could not take it just now", "단말의 일시적인 오류입니다"),
    row(Code::Greylisted, "GREYLISTED", 422, Action::Same, Billing::Refundable, "The mail server asks to try later", "메일 서버가 나중에 다시 보내라고 합니다"),
    row(Code::TemplateNotFound, "TEMPLATE_NOT_FOUND", 422, Action::Fix, Billing::Refundable, "There is no such template", "템플릿을 찾을 수 없습니다").kakao(&[3015]),
    row(Code::TemplateNotApproved, "TEMPLATE_NOT_APPROVED", 422, Action::Fix, Billing::Refundable, "The template is not approved", "승인되지 않은 템플릿입니다").kakao(&[4133, 4134]),
    row(Code::TemplateMismatch, "TEMPLATE_MISMATCH", 422, Action::Next, Billing::Refundable, "The message differs from its template", "메시지가 템플릿과 다릅니다").kakao(&[3016, 3028, 3030, 3031, 3033, 3036, 3038, 3042, 3043, 3044, 3045, 3053, 3054, 3055, 3056, 3057]),
    row(Code::ButtonMismatch, "BUTTON_MISMATCH", 422, Action::Fix, Billing::Refundable, "The buttons differ from the template", "버튼이 템플릿과 다릅니다").ims("3027").kakao(&[3027]),
    row(Code::VariableMissingOrExtra, "VARIABLE_MISSING_OR_EXTRA", 422, Action::Fix, Billing::Refundable, "A variable is missing or not in the text", "변수가 없거나 본문에 없는 변수입니다").kakao(&[4132]),
    row(Code::FieldTooLong, "FIELD_TOO_LONG", 422, Action::Fix, Billing::Refundable, "A field is too long", "항목의 길이가 한도를 넘었습니다").kakao(&[3025, 3026, 3029, 3032, 3034, 3035, 3037, 3039, 3046, 3047, 3052, 3056, 3058]),
    row(Code::LinkInvalid, "LINK_INVALID", 422, Action::Fix, Billing::Refundable, "A link is not valid", "링크가 올바르지 않습니다").kakao(&[3042]),
    row(Code::MessageTypeMismatch, "MESSAGE_TYPE_MISMATCH", 422, Action::Fix, Billing::Refundable, "The message type does not fit", "메시지 유형이 맞지 않습니다").ims("4001").kakao(&[1033]),
    row(Code::RouteDown, "ROUTE_DOWN", 503, Action::Route, Billing::Refundable, "The relay is down", "중계사에 연결할 수 없습니다").kakao(&[3012]),
    row(Code::RouteThrottled, "ROUTE_THROTTLED", 503, Action::Same, Billing::Refundable, "The relay asks us to slow down", "중계사가 속도 제한을 요청했습니다"),
    row(Code::RouteQueueFull, "ROUTE_QUEUE_FULL", 503, Action::Same, Billing::Refundable, "The queue of the relay is full", "중계사의 대기열이 가득 찼습니다"),
    row(Code::RouteAuthFailed, "ROUTE_AUTH_FAILED", 503, Action::Route, Billing::Refundable, "The relay refused our credentials", "중계사 인증에 실패했습니다").kakao(&[1002]),
    row(Code::NoRoute, "NO_ROUTE", 422, Action::Fix, Billing::Refundable, "No relay can take this message", "보낼 수 있는 중계사가 없습니다"),
    row(Code::VendorTimeout, "VENDOR_TIMEOUT", 504, Action::Ask, Billing::Refundable, "The relay did not answer; the message may never have left", "중계사가 응답하지 않아 발송되지 않았을 수 있습니다").kakao(&[4001]),
    row(Code::VendorError, "VENDOR_ERROR", 502, Action::Route, Billing::Refundable, "The relay failed", "중계사 오류입니다").ims("9998").kakao(&[2001, 3000, 3006, 3010, 4137, 4138, 4139, 4140, 4141, 4142, 9998, 9999]),
    row(Code::VendorDuplicateId, "VENDOR_DUPLICATE_ID", 502, Action::Ask, Billing::Refundable, "The relay says it has this message already", "중계사가 중복 메시지로 응답했습니다").kakao(&[4131]),
    row(Code::VendorUncertain, "VENDOR_UNCERTAIN", 502, Action::Ask, Billing::ByContract, "The relay cannot tell the result", "중계사가 결과를 확인하지 못했습니다").kakao(&[3005, 4000, 4001]),
    row(Code::VendorPayloadTooLarge, "VENDOR_PAYLOAD_TOO_LARGE", 422, Action::Fix, Billing::Refundable, "The relay says the message is too large", "중계사의 크기 제한을 넘었습니다").kakao(&[4144]),
    row(Code::RemovedByVendor, "REMOVED_BY_VENDOR", 502, Action::No, Billing::Refundable, "The relay removed the message", "중계사가 메시지를 삭제했습니다").kakao(&[3011]),
    row(Code::Internal, "INTERNAL", 500, Action::Same, Billing::Refundable, "An internal error", "내부 오류입니다").ims("9999"),
    row(Code::Canceled, "CANCELED", 409, Action::No, Billing::Refundable, "Canceled", "취소되었습니다"),
    row(Code::ExpiredBeforeSend, "EXPIRED_BEFORE_SEND", 422, Action::Next, Billing::Refundable, "Expired before it could be sent", "보내기 전에 유효 시간이 지났습니다").kakao(&[4143]),
    row(Code::StoreUnavailable, "STORE_UNAVAILABLE", 503, Action::Same, Billing::Refundable, "The store is not available", "저장소를 사용할 수 없습니다").ims("9998"),
    row(Code::StorageFull, "STORAGE_FULL", 503, Action::Same, Billing::Refundable, "The storage is full", "저장 공간이 가득 찼습니다").ims("9998"),
    row(Code::ResultTimeout, "RESULT_TIMEOUT", 504, Action::No, Billing::ByContract, "No result came by the deadline", "기한까지 결과가 오지 않았습니다"),
    row(Code::LateResult, "LATE_RESULT", 200, Action::None, Billing::ByContract, "A result came after the end", "종료된 뒤에 결과가 도착했습니다").kakao(&[3005]),
    row(Code::UnmappedVendorCode, "UNMAPPED_VENDOR_CODE", 502, Action::Ask, Billing::ByContract, "The relay answered with an unknown code", "중계사가 알 수 없는 코드로 응답했습니다"),
];
