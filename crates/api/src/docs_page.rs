//! The page `/docs`: the interface for people, made from the OpenAPI document and the tables of the code. It needs nothing
//! from elsewhere and no script.

use std::fmt::Write;

use bongsu_domain::Code;
use serde_json::Value;

use crate::reference;

const STYLE: &str = include_str!("docs_page.css");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A text in both languages.
type Both = [&'static str; 2];

/// The chapters: anchor and title.
const CHAPTERS: [(&str, Both); 7] = [
    ("start", ["Getting started", "시작하기"]),
    ("keys", ["Keys, roles and test numbers", "키, 역할, 시험 번호"]),
    ("routes", ["Routes", "경로"]),
    ("schemas", ["Shapes", "자료 형태"]),
    ("codes", ["Result codes", "결과 코드"]),
    ("limits", ["Limits", "한도"]),
    ("events", ["Events", "이벤트"]),
];

const START: Both = [
    "Every call carries an API key as <code>Authorization: Bearer …</code>. Bodies are JSON in UTF-8, times RFC 3339, ids a prefix and 13 \
     characters. A 202 leaves only after the message is durable; what becomes of it is read by its id, or comes as an event. Repeat a \
     request safely with the same <code>Idempotency-Key</code>. A refusal is a problem (RFC 9457) with a code of the table below and all \
     findings at once.",
    "모든 호출에는 API 키를 <code>Authorization: Bearer …</code>로 싣습니다. 본문은 UTF-8 JSON, 시각은 RFC 3339, 식별자는 접두어와 13자입니다. \
     202는 메시지가 안전하게 저장된 뒤에만 나가며, 결과는 식별자로 조회하거나 이벤트로 받습니다. 같은 <code>Idempotency-Key</code>로 다시 \
     보내면 한 번만 처리됩니다. 거절은 아래 표의 코드와 모든 원인을 담은 문제 문서(RFC 9457)입니다.",
];

const KEYS: Both = [
    "Roles are named sets of scopes: <b>owner</b> (everything of an account), <b>sender</b> (send and read), <b>viewer</b> (read), \
     <b>operator</b> (all accounts). Kinds say whom a key reaches: <b>live</b> everybody, <b>team</b> the team numbers of the account, \
     <b>test</b> the numbers below, for nothing and without leaving.",
    "역할은 권한의 묶음입니다. <b>owner</b> 계정 전체, <b>sender</b> 발송과 조회, <b>viewer</b> 조회, <b>operator</b> 모든 계정. 키의 종류는 \
     보낼 수 있는 상대를 정합니다. <b>live</b> 제한 없음, <b>team</b> 계정의 팀 번호, <b>test</b> 아래 번호만 가능하며 요금이 없고 실제로 나가지 않습니다.",
];

const TEST_NUMBERS: [(&str, Both); 8] = [
    ("010-0000-0001", ["delivered", "수신 성공"]),
    ("010-0000-0002", ["switched off (UM5001)", "전원 꺼짐 (UM5001)"]),
    ("010-0000-0003", ["unknown subscriber (UM4001)", "없는 번호 (UM4001)"]),
    ("010-0000-0004", ["no Kakao; a text message is delivered", "카카오 미사용; 문자는 수신 성공"]),
    ("010-0000-0005", ["no result comes", "결과가 오지 않음"]),
    ("010-0000-0006", ["the report comes twice", "결과가 두 번 옴"]),
    ("010-0000-0007", ["the report comes before the answer", "응답보다 결과가 먼저 옴"]),
    ("010-0000-0008", ["throttled twice, then delivered", "두 번 속도 제한 뒤 수신 성공"]),
];

/// The page in Korean, or in English.
pub fn page(document: &Value, korean: bool) -> String {
    let mut page = Page { out: String::with_capacity(256 * 1024), korean };
    page.head(document);
    page.start();
    page.keys();
    page.routes(document);
    page.schemas(document);
    page.codes();
    page.limits();
    page.events();
    page.out.push_str("</main></body></html>\n");
    page.out
}

struct Page {
    out: String,
    korean: bool,
}

impl Page {
    fn word(&self, [english, korean]: Both) -> &'static str {
        if self.korean { korean } else { english }
    }

    fn chapter(&mut self, anchor: &str) {
        let title = CHAPTERS.iter().find(|(own, _)| *own == anchor).map_or("", |(_, title)| self.word(*title));
        let _ = write!(self.out, "<h2 id=\"{anchor}\">{title}</h2>");
    }

    fn head(&mut self, document: &Value) {
        let (lang, other, other_word) = if self.korean { ("ko", "en", "English") } else { ("en", "ko", "한국어") };
        let version = escape(document["info"]["version"].as_str().unwrap_or_default());
        let title = self.word(["Bongsu API", "봉수 API"]);
        let _ = write!(
            self.out,
            "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body><header>\
             <h1>{title}</h1><p class=\"soft\">{version} · <a href=\"/openapi.json\">OpenAPI 3.1</a> · \
             <a href=\"/docs?lang={other}\" hreflang=\"{other}\" lang=\"{other}\">{other_word}</a></p><nav>"
        );
        for (anchor, title) in CHAPTERS {
            let _ = write!(self.out, "<a href=\"#{anchor}\">{}</a>", self.word(title));
        }
        self.out.push_str("</nav></header><main>");
    }

    fn start(&mut self) {
        self.chapter("start");
        let _ = write!(self.out, "<p>{}</p>", self.word(START));
        self.out.push_str(
            "<pre>curl https://…/v1/messages \\\n  -H 'Authorization: Bearer bk_…' -H 'Idempotency-Key: order-17' \\\n  \
             -H 'Content-Type: application/json' \\\n  \
             -d '{\"to\":\"010-0000-0001\",\"from\":\"02-123-4567\",\"text\":\"봉수 시험\"}'</pre>",
        );
    }

    fn keys(&mut self) {
        self.chapter("keys");
        let _ = write!(self.out, "<p>{}</p>", self.word(KEYS));
        self.table(&[["number", "번호"], ["outcome", "결과"]]);
        for (number, outcome) in TEST_NUMBERS {
            let _ = write!(self.out, "<tr><td><code>{number}</code></td><td>{}</td></tr>", self.word(outcome));
        }
        self.out.push_str("</table></div>");
    }

    fn table(&mut self, columns: &[Both]) {
        self.out.push_str("<div class=\"wide\"><table><tr>");
        for column in columns {
            let _ = write!(self.out, "<th>{}</th>", self.word(*column));
        }
        self.out.push_str("</tr>");
    }

    fn routes(&mut self, document: &Value) {
        self.chapter("routes");
        let mut tag = "";
        let Some(paths) = document["paths"].as_object() else { return };
        let mut operations: Vec<(&str, &str, &Value)> = Vec::new();
        for (path, item) in paths {
            let of_path = METHODS.iter().filter_map(|method| Some((path.as_str(), *method, item.get(method)?)));
            operations.extend(of_path);
        }
        // The tags in the order in which the table of routes has them.
        let rank = |operation: &Value| {
            crate::route::ROUTES.iter().position(|route| operation["operationId"] == route.id).unwrap_or(usize::MAX)
        };
        operations.sort_by_key(|(_, _, operation)| rank(operation));
        for (path, method, operation) in operations {
            let own = operation["tags"][0].as_str().unwrap_or_default();
            if own != tag {
                tag = own;
                let _ = write!(self.out, "<h3>{}</h3>", escape(tag));
            }
            self.operation(path, method, operation);
        }
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value) {
        let summary = escape(operation["summary"].as_str().unwrap_or_default());
        let id = escape(operation["operationId"].as_str().unwrap_or_default());
        let _ = write!(
            self.out,
            "<details id=\"{id}\"><summary><b>{}</b> <code>{}</code> <span class=\"soft\">{summary}</span></summary>",
            method.to_uppercase(),
            escape(path),
        );
        let scope = operation["x-scope"].as_str().map(|scope| format!("<code>{}</code>", escape(scope)));
        let open = operation.get("security").is_some().then(|| self.word(["everybody", "누구나"]).to_owned());
        let who = scope.or(open).unwrap_or_else(|| self.word(["any key", "모든 키"]).to_owned());
        let _ = write!(self.out, "<p>{}: {who}</p>", self.word(["Who may call it", "호출 권한"]));
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !parameters.is_empty() {
            self.table(&[["parameter", "매개변수"], ["in", "위치"], ["meaning", "뜻"]]);
            for parameter in parameters {
                let text = |name: &str| escape(parameter[name].as_str().unwrap_or_default());
                let (name, place, about) = (text("name"), text("in"), text("description"));
                let _ = write!(self.out, "<tr><td><code>{name}</code></td><td>{place}</td><td>{about}</td></tr>");
            }
            self.out.push_str("</table></div>");
        }
        for body in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            let _ = write!(self.out, "<p>{}: {}</p>", self.word(["Body", "본문"]), media(body));
        }
        self.table(&[["status", "상태"], ["answer", "응답"], ["meaning", "뜻"]]);
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            let shape: Vec<String> = answer["content"].as_object().into_iter().flatten().map(media).collect();
            let about = escape(answer["description"].as_str().unwrap_or_default());
            let _ =
                write!(self.out, "<tr><td>{}</td><td>{}</td><td>{about}</td></tr>", escape(status), shape.join(", "));
        }
        self.out.push_str("</table></div></details>");
    }

    fn schemas(&mut self, document: &Value) {
        self.chapter("schemas");
        for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
            let _ = write!(self.out, "<details id=\"schema-{0}\"><summary><code>{0}</code></summary>", escape(name));
            let text = serde_json::to_string_pretty(schema).unwrap_or_default();
            let _ = write!(self.out, "<pre>{}</pre></details>", escape(&text));
        }
    }

    fn codes(&mut self) {
        self.chapter("codes");
        self.table(&[["code", "코드"], ["name", "이름"], ["meaning", "뜻"], ["HTTP", "HTTP"], ["again", "재시도"]]);
        for code in Code::ALL.iter().copied() {
            let title = if self.korean { code.title_ko() } else { code.title_en() };
            let again = if code.retryable() { self.word(["yes", "예"]) } else { "" };
            let (word, name, status) = (code.as_str(), code.name(), code.http_status());
            let _ = write!(
                self.out,
                "<tr id=\"{word}\"><td><code>{word}</code></td><td>{name}</td><td>{title}</td><td>{status}</td><td>{again}</td></tr>",
            );
        }
        self.out.push_str("</table></div>");
    }

    fn limits(&mut self) {
        self.chapter("limits");
        self.table(&[["what", "항목"], ["limit", "한도"], ["setting", "설정"]]);
        for limit in reference::limits() {
            let what = if self.korean { limit.what_ko } else { limit.what };
            let key = limit.key.map(|key| format!("<code>{key}</code>")).unwrap_or_default();
            let _ = write!(self.out, "<tr><td>{what}</td><td>{}</td><td>{key}</td></tr>", escape(&limit.value));
        }
        self.out.push_str("</table></div>");
    }

    fn events(&mut self) {
        self.chapter("events");
        self.table(&[["event", "이벤트"], ["when", "때"]]);
        for event in reference::events() {
            let when = if self.korean { event.when_ko } else { event.when };
            let _ = write!(self.out, "<tr><td><code>{}</code></td><td>{when}</td></tr>", event.word);
        }
        self.out.push_str("</table></div>");
    }
}

/// The media type of a body, and its schema where it has a name.
fn media((media, content): (&String, &Value)) -> String {
    let schema = content.pointer("/schema/$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    match schema {
        Some(schema) => format!("<a href=\"#schema-{0}\"><code>{0}</code></a> {1}", escape(schema), escape(media)),
        None => escape(media),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_everything_in_both_languages_and_needs_nothing_from_elsewhere() {
        let document = crate::openapi();
        for korean in [false, true] {
            let page = page(&document, korean);
            for route in crate::route::ROUTES {
                assert!(page.contains(&format!("id=\"{}\"", route.id)), "{}", route.id);
            }
            for code in Code::ALL.iter().copied() {
                assert!(page.contains(if korean { code.title_ko() } else { code.title_en() }), "{}", code.as_str());
            }
            for schema in document["components"]["schemas"].as_object().expect("schemas").keys() {
                assert!(page.contains(&format!("id=\"schema-{schema}\"")), "{schema}");
            }
            for alien in ["<script", "src=", "@import", "url(", "<link", "<iframe"] {
                assert!(!page.contains(alien), "{alien}");
            }
            assert_eq!(page.contains("lang=\"ko\"><head>"), korean);
            assert!(page.contains("prefers-color-scheme:dark"));
            for tag in ["table", "details", "pre", "div", "main", "header"] {
                let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
                assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
            }
        }
    }
}
