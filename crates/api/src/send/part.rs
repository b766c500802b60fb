//! The fields of one message as far as they are given: a row, the defaults of a batch, or a whole single message.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{ChannelChoice, Lane, Timestamp};
use bongsu_send::Draft;

/// Pairs of a free map, in the order they were written.
pub type Pairs = Vec<(String, String)>;

/// What a caller gave of a message; nothing is checked but its form.
#[derive(Debug, Default, Clone)]
pub struct Part {
    pub channel: Option<ChannelChoice>,
    pub lane: Option<Lane>,
    pub to: Option<String>,
    pub from: Option<String>,
    pub text: Option<Arc<str>>,
    pub subject: Option<Arc<str>>,
    pub variables: Option<Pairs>,
    pub client_ref: Option<String>,
    pub bill_code: Option<String>,
    pub labels: Option<Pairs>,
    pub expires_in: Option<Duration>,
    pub send_at: Option<Timestamp>,
    pub ad: Option<bool>,
    pub max_cost: Option<i64>,
}

impl Part {
    /// The message: this row where it says something, else the defaults. `variables` and `labels` are merged by name.
    ///
    /// # Errors
    /// The names of required fields that neither has.
    pub fn over(self, defaults: &Part, lane: Lane) -> Result<Draft, Vec<&'static str>> {
        let to = self.to.or_else(|| defaults.to.clone());
        let from = self.from.or_else(|| defaults.from.clone());
        let text = self.text.or_else(|| defaults.text.clone());
        let given = [("to", to.is_some()), ("from", from.is_some()), ("text", text.is_some())];
        let (Some(to), Some(from), Some(text)) = (to, from, text) else {
            return Err(given.into_iter().filter(|(_, given)| !given).map(|(name, _)| name).collect());
        };
        let ad = self.ad.or(defaults.ad);
        // What is an advertisement and names no lane goes on that of advertisements.
        let lane = if ad == Some(true) { Lane::Ad } else { lane };
        Ok(Draft {
            channel: self.channel.or(defaults.channel).unwrap_or(ChannelChoice::Auto),
            lane: self.lane.or(defaults.lane).unwrap_or(lane),
            to,
            from,
            text,
            subject: self.subject.or_else(|| defaults.subject.clone()),
            variables: merged(self.variables, defaults.variables.as_ref()),
            client_ref: self.client_ref.or_else(|| defaults.client_ref.clone()),
            bill_code: self.bill_code.or_else(|| defaults.bill_code.clone()),
            labels: merged(self.labels, defaults.labels.as_ref()),
            expires_in: self.expires_in.or(defaults.expires_in),
            send_at: self.send_at.or(defaults.send_at),
            ad,
            max_cost: self.max_cost.or(defaults.max_cost),
        })
    }
}

/// The row's pairs, then those defaults that it does not name.
fn merged(own: Option<Pairs>, defaults: Option<&Pairs>) -> Pairs {
    let mut pairs = own.unwrap_or_default();
    let Some(defaults) = defaults else { return pairs };
    let count = pairs.len();
    for (name, value) in defaults {
        if !pairs[..count].iter().any(|(own, _)| bare(own) == bare(name)) {
            pairs.push((name.clone(), value.clone()));
        }
    }
    pairs
}

/// A variable may be named with its `#{}` or without.
fn bare(name: &str) -> &str {
    name.strip_prefix("#{").and_then(|name| name.strip_suffix('}')).unwrap_or(name)
}
