//! Reads a script from JSON and names every key that is wrong.

use bongsu_wire::smpp::MessageState;
use serde_json::{Map, Value};

use super::{Outcome, Problem, Radix, ReceiptForm, RelayScript, Script, ScriptError};

/// Longest delay that a script may ask for: a day.
const DELAY_MAX_MS: u64 = 86_400_000;
/// Shares are decimal fractions; their sum may be off by rounding.
const SUM_TOLERANCE: f64 = 1e-9;
/// Network error that a state has when the script names none: absent subscriber, unknown subscriber.
const DEFAULT_ERRORS: [(MessageState, u16); 2] = [(MessageState::Expired, 27), (MessageState::Undeliverable, 1)];

pub(super) fn script(json: &str) -> Result<Script, ScriptError> {
    let value: Value = serde_json::from_str(json).map_err(|error| {
        let path = format!("line {} column {}", error.line(), error.column());
        ScriptError(vec![Problem { path, what: "not valid JSON".into() }])
    })?;
    let mut walk = Walk::default();
    let script = walk.script(&value);
    if walk.problems.is_empty() { Ok(script) } else { Err(ScriptError(walk.problems)) }
}

#[derive(Default)]
struct Walk {
    problems: Vec<Problem>,
}

impl Walk {
    fn wrong<T>(&mut self, path: &str, what: impl Into<String>) -> Option<T> {
        let path = if path.is_empty() { "script" } else { path };
        self.problems.push(Problem { path: path.to_owned(), what: what.into() });
        None
    }

    fn object<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        match value.as_object() {
            Some(object) => Some(object),
            None => self.wrong(path, "must be an object"),
        }
    }

    fn script(&mut self, value: &Value) -> Script {
        let mut script = Script::default();
        let Some(object) = self.object("", value) else { return script };
        for (key, value) in object {
            match key.as_str() {
                "seed" => script.seed = self.whole("seed", value, 0, u64::MAX),
                "relays" => {
                    let Some(relays) = self.object("relays", value) else { continue };
                    for (name, value) in relays {
                        let relay = self.relay(&format!("relays.{name}"), value);
                        script.relays.insert(name.clone(), relay);
                    }
                }
                _ => self.unknown(key),
            }
        }
        script
    }

    fn unknown(&mut self, path: &str) {
        let _: Option<()> = self.wrong(path, "no such key");
    }

    fn relay(&mut self, at: &str, value: &Value) -> RelayScript {
        let mut relay = RelayScript::default();
        let Some(object) = self.object(at, value) else { return relay };
        for (key, value) in object {
            let path = format!("{at}.{key}");
            if !(self.results(&path, key, value, &mut relay)
                || self.faults(&path, key, value, &mut relay)
                || self.dialect(&path, key, value, &mut relay))
            {
                self.unknown(&path);
            }
        }
        if !object.contains_key("receiptIdStyle") {
            relay.receipt_id_style = relay.id_style;
        }
        relay
    }

    fn results(&mut self, path: &str, key: &str, value: &Value, relay: &mut RelayScript) -> bool {
        match key {
            "codes" => relay.codes = self.shares(path, value, outcome),
            "refuse" => relay.refuse = self.shares(path, value, status),
            "delayMs" => set(&mut relay.delay_ms, self.delay(path, value)),
            "latencyMs" => set(&mut relay.latency_ms, self.whole(path, value, 0, DELAY_MAX_MS)),
            "throttlePerS" => relay.throttle_per_s = self.whole(path, value, 1, u32::MAX.into()),
            "rateLimitPerS" => relay.rate_limit_per_s = self.whole(path, value, 1, u32::MAX.into()),
            "disconnectEvery" => relay.disconnect_every = self.whole(path, value, 1, u32::MAX.into()),
            _ => return false,
        }
        true
    }

    fn faults(&mut self, path: &str, key: &str, value: &Value, relay: &mut RelayScript) -> bool {
        match key {
            "dropResponses" => set(&mut relay.drop_responses, self.share(path, value)),
            "duplicateReceipts" => set(&mut relay.duplicate_receipts, self.share(path, value)),
            "earlyReceipts" => set(&mut relay.early_receipts, self.share(path, value)),
            "receiptsAnywhere" => set(&mut relay.receipts_anywhere, self.share(path, value)),
            "restartIds" => set(&mut relay.restart_ids, self.flag(path, value)),
            "silent" => set(&mut relay.silent, self.flag(path, value)),
            "bindRefuse" => relay.bind_refuse = self.status(path, value),
            "bindsMax" => relay.binds_max = self.whole(path, value, 1, u32::MAX.into()),
            "password" => match value.as_str() {
                Some(password) => relay.password = Some(password.to_owned()),
                None => set(&mut relay.password, self.wrong(path, "must be a string")),
            },
            _ => return false,
        }
        true
    }

    fn dialect(&mut self, path: &str, key: &str, value: &Value, relay: &mut RelayScript) -> bool {
        const RADIX: [(&str, Radix); 2] = [("decimal", Radix::Decimal), ("hex", Radix::Hex)];
        const FORM: [(&str, ReceiptForm); 3] =
            [("both", ReceiptForm::Both), ("tlv", ReceiptForm::Tlv), ("text", ReceiptForm::Text)];
        match key {
            "echoReference" => set(&mut relay.echo_reference, self.flag(path, value)),
            "idStyle" => set(&mut relay.id_style, self.word(path, value, &RADIX)),
            "receiptIdStyle" => set(&mut relay.receipt_id_style, self.word(path, value, &RADIX)),
            "leadingZeros" => set(&mut relay.leading_zeros, self.whole(path, value, 0, 20)),
            "receiptForm" => set(&mut relay.receipt_form, self.word(path, value, &FORM)),
            "receiptWindow" => set(&mut relay.receipt_window, self.whole(path, value, 1, 100_000)),
            "receiptDates" => match value.as_u64() {
                Some(digits @ (10 | 12)) => relay.receipt_dates = if digits == 10 { 10 } else { 12 },
                _ => set(&mut relay.receipt_dates, self.wrong(path, "must be 10 or 12")),
            },
            _ => return false,
        }
        true
    }

    fn whole<T: TryFrom<u64>>(&mut self, path: &str, value: &Value, least: u64, most: u64) -> Option<T> {
        match value.as_u64().filter(|n| (least..=most).contains(n)).and_then(|n| T::try_from(n).ok()) {
            Some(n) => Some(n),
            None => self.wrong(path, format!("must be a whole number from {least} to {most}")),
        }
    }

    fn share(&mut self, path: &str, value: &Value) -> Option<f64> {
        match value.as_f64().filter(|share| (0.0..=1.0).contains(share)) {
            Some(share) => Some(share),
            None => self.wrong(path, "must be a share from 0 to 1"),
        }
    }

    fn flag(&mut self, path: &str, value: &Value) -> Option<bool> {
        match value.as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong(path, "must be true or false"),
        }
    }

    fn word<T: Copy>(&mut self, path: &str, value: &Value, words: &[(&str, T)]) -> Option<T> {
        match value.as_str().and_then(|word| words.iter().find(|(known, _)| *known == word)) {
            Some((_, meaning)) => Some(*meaning),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.wrong(path, format!("must be one of {}", known.join(", ")))
            }
        }
    }

    fn status(&mut self, path: &str, value: &Value) -> Option<u32> {
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        match number.or_else(|| value.as_str().and_then(|text| status(text).ok())) {
            Some(status) => Some(status),
            None => self.wrong(path, "must be a command_status as \"0x0D\""),
        }
    }

    fn delay(&mut self, path: &str, value: &Value) -> Option<(u32, u32)> {
        if let Some([least, most]) = value.as_array().map(Vec::as_slice) {
            let least = self.whole(&format!("{path}.0"), least, 0, DELAY_MAX_MS)?;
            let most = self.whole(&format!("{path}.1"), most, u64::from(least), DELAY_MAX_MS)?;
            return Some((least, most));
        }
        if value.is_array() {
            return self.wrong(path, "must be milliseconds or [least, most]");
        }
        let delay = self.whole(path, value, 0, DELAY_MAX_MS)?;
        Some((delay, delay))
    }

    fn shares<K>(&mut self, path: &str, value: &Value, key: fn(&str) -> Result<K, String>) -> Vec<(K, f64)> {
        let mut shares = Vec::new();
        let Some(object) = self.object(path, value) else { return shares };
        for (name, value) in object {
            let path = format!("{path}.{name}");
            let share = self.share(&path, value);
            match (key(name), share) {
                (Ok(key), Some(share)) => shares.push((key, share)),
                (Err(what), _) => set(&mut (), self.wrong(&path, what)),
                (Ok(_), None) => {}
            }
        }
        if shares.iter().map(|(_, share)| share).sum::<f64>() > 1.0 + SUM_TOLERANCE {
            set(&mut (), self.wrong(path, "the shares are more than 1 together"));
        }
        shares
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// `DELIVRD`, `UNDELIV:001`, `NONE`.
fn outcome(text: &str) -> Result<Outcome, String> {
    if text == "NONE" {
        return Ok(Outcome::Never);
    }
    let (word, error) = text.split_once(':').map_or((text, None), |(word, error)| (word, Some(error)));
    let Some(state) = MessageState::parse(word).filter(|state| state.as_str() == word) else {
        return Err(
            "must be DELIVRD, UNDELIV, EXPIRED, REJECTD, DELETED, UNKNOWN, ACCEPTD, ENROUTE, one of them with an error as UNDELIV:001, or NONE"
                .into(),
        );
    };
    let error = match error {
        None => DEFAULT_ERRORS.iter().find(|(of, _)| *of == state).map_or(0, |(_, error)| *error),
        Some(digits) if digits.len() == 3 => digits.parse().map_err(|_| "the error must be three digits".to_owned())?,
        Some(_) => return Err("the error must be three digits".into()),
    };
    Ok(Outcome::Final { state, error })
}

/// `0x0B` or `11`; zero is not a refusal.
fn status(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number.ok().filter(|status| *status > 0).ok_or_else(|| "must be a command_status as 0x0B".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_script_is_read() {
        let script = script(
            r#"{"seed": 7, "relays": {"kt": {"codes": {"DELIVRD": 0.9, "UNDELIV:005": 0.05, "NONE": 0.05},
                "delayMs": [5, 20], "latencyMs": 3, "throttlePerS": 1000, "rateLimitPerS": 900, "dropResponses": 0.01,
                "duplicateReceipts": 0.1, "earlyReceipts": 0.2, "receiptsAnywhere": 0.3, "echoReference": false, "restartIds": true,
                "silent": false, "disconnectEvery": 500, "refuse": {"0x0B": 0.01, "8": 0.02}, "bindRefuse": "0x0D", "bindsMax": 4,
                "password": "p", "idStyle": "hex", "leadingZeros": 8, "receiptForm": "text", "receiptDates": 12},
                "skt": {}}}"#,
        )
        .unwrap();
        assert_eq!(script.seed, Some(7));
        assert_eq!(script.relays["skt"], RelayScript::default());
        let kt = &script.relays["kt"];
        assert!(kt.codes.contains(&(Outcome::Final { state: MessageState::Undeliverable, error: 5 }, 0.05)));
        assert_eq!(kt.delay_ms, (5, 20));
        assert_eq!((kt.early_receipts, kt.receipts_anywhere), (0.2, 0.3));
        assert_eq!((kt.throttle_per_s, kt.rate_limit_per_s), (Some(1_000), Some(900)));
        assert_eq!(kt.receipt_id_style, Radix::Hex);
        assert_eq!(kt.refuse, vec![(0x0B, 0.01), (8, 0.02)]);
        assert_eq!((kt.bind_refuse, kt.binds_max), (Some(13), Some(4)));
        assert_eq!((kt.leading_zeros, kt.receipt_dates), (8, 12));
    }

    #[test]
    fn every_problem_is_named_by_its_path() {
        let cases = [
            (r#"{"relays": {"kt": {"codes": {"DELIVRD": 1.5}}}}"#, "relays.kt.codes.DELIVRD"),
            (r#"{"relays": {"kt": {"codes": {"DELIVERED": 1}}}}"#, "relays.kt.codes.DELIVERED"),
            (r#"{"relays": {"kt": {"codes": {"UNDELIV:1": 1}}}}"#, "relays.kt.codes.UNDELIV:1"),
            (r#"{"relays": {"kt": {"codes": {"DELIVRD": 0.6, "UNDELIV": 0.6}}}}"#, "relays.kt.codes"),
            (r#"{"relays": {"kt": {"codes": []}}}"#, "relays.kt.codes"),
            (r#"{"relays": {"kt": {"delayMs": -1}}}"#, "relays.kt.delayMs"),
            (r#"{"relays": {"kt": {"delayMs": [5, 1]}}}"#, "relays.kt.delayMs.1"),
            (r#"{"relays": {"kt": {"delayMs": [5]}}}"#, "relays.kt.delayMs"),
            (r#"{"relays": {"kt": {"rateLimitPerS": 0}}}"#, "relays.kt.rateLimitPerS"),
            (r#"{"relays": {"kt": {"receiptsAnywhere": 1.1}}}"#, "relays.kt.receiptsAnywhere"),
            (r#"{"relays": {"kt": {"silent": "yes"}}}"#, "relays.kt.silent"),
            (r#"{"relays": {"kt": {"refuse": {"ESME": 0.1}}}}"#, "relays.kt.refuse.ESME"),
            (r#"{"relays": {"kt": {"bindRefuse": 0}}}"#, "relays.kt.bindRefuse"),
            (r#"{"relays": {"kt": {"bindsMax": 0}}}"#, "relays.kt.bindsMax"),
            (r#"{"relays": {"kt": {"receiptDates": 11}}}"#, "relays.kt.receiptDates"),
            (r#"{"relays": {"kt": {"delay": 1}}}"#, "relays.kt.delay"),
            (r#"{"relays": {"kt": 1}}"#, "relays.kt"),
            (r#"{"relay": {}}"#, "relay"),
            (r#"{"seed": 1.5}"#, "seed"),
            (r#"[]"#, "script"),
            ("{\n  nope", "line 2 column 3"),
        ];
        for (json, path) in cases {
            let ScriptError(problems) = script(json).unwrap_err();
            assert_eq!(problems.len(), 1, "{json}: {problems:?}");
            assert_eq!(problems[0].path, path, "{json}");
        }
    }

    #[test]
    fn all_problems_come_at_once_and_strange_relays_are_refused() {
        let ScriptError(problems) =
            script(r#"{"x": 1, "relays": {"kt": {"silent": 1, "codes": {"A": 2}}}}"#).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert!(paths.contains(&"x") && paths.contains(&"relays.kt.silent"), "{paths:?}");
        let strange = script(r#"{"relays": {"ntt": {}}}"#).unwrap();
        let error = strange.check_names(&["kt".into()]).unwrap_err();
        assert_eq!(error.to_string(), "relays.ntt: no such relay; there are kt");
    }
}
