//! How far a key reaches: over keys that it makes or changes, and, of test keys, over what is real.
//!
//! No key gives away, or takes from others, more than it has itself. What only takes away (switching off, revoking) is
//! free of the networks: a leaked key must be ended from wherever its owner is.

use bongsu_domain::{Code, GroupId, KeyId, MessageId, Network, RequestId};
use bongsu_send::{Finding, ListQuery};
use bongsu_store::keys::{self, KeyKind, KeyPatch, KeyRow, KeyScope, Scopes};

use crate::call::{Call, Caller};
use crate::problem::Problem;
use crate::route::Route;

/// Routes that change something and that test keys may call: their messages cost nothing and reach nobody, and what they do
/// to messages, groups and keys that are there is asked of each of these.
const OF_TESTS: [&str; 16] = [
    "send_message",
    "send_batch",
    "validate_messages",
    "cancel_message",
    "reschedule_message",
    "cancel_batch",
    "reschedule_batch",
    "create_group",
    "add_rows",
    "send_group",
    "schedule_group",
    "approve_group",
    "cancel_group",
    "create_key",
    "update_key",
    "revoke_key",
];

/// Refuses a test key where there are only real things to change.
///
/// # Errors
/// 403.
pub fn check_kind(route: &Route, caller: &Caller) -> Result<(), Problem> {
    if caller.kind != KeyKind::Test || !route.changes() || OF_TESTS.contains(&route.id) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, NOTHING_LIVE))
}

const NOTHING_LIVE: &str = "a test key changes only what test keys made";

/// What a caller's key is: its scopes, its kind and its networks.
pub struct Own {
    scopes: Scopes,
    kind: KeyKind,
    networks: Vec<Network>,
}

impl Own {
    /// That of a call.
    ///
    /// # Errors
    /// 401 when the key ended meanwhile, and those of the store.
    pub async fn of(call: &Call) -> Result<Self, Problem> {
        let caller = call.caller()?;
        let row = keys::by_id(call.app.service.store(), caller.key).await?;
        let row = row.ok_or_else(|| Problem::new(Code::Unauthenticated, "this API key is unknown or revoked"))?;
        Ok(Self { scopes: caller.scopes, kind: caller.kind, networks: row.ip_allow })
    }

    /// What a key of these scopes, this kind and these networks has beyond this one.
    pub fn beyond(&self, scopes: Scopes, kind: KeyKind, networks: &[Network]) -> Vec<Finding> {
        let mut found = self.above(scopes, kind);
        found.extend(self.outside(networks));
        found
    }

    /// Scopes and kind that this key does not have.
    fn above(&self, scopes: Scopes, kind: KeyKind) -> Vec<Finding> {
        let wrong = |field: &str, detail: String| Finding::new(field, Code::Forbidden, detail);
        let lacks = |scope: &KeyScope| scopes.has(*scope) && !self.scopes.has(*scope);
        let mut found: Vec<_> = KeyScope::ALL
            .into_iter()
            .filter(lacks)
            .map(|scope| wrong("scopes", format!("your own key lacks {}", scope.as_str())))
            .collect();
        if matches!(self.kind, KeyKind::Team | KeyKind::Test) && kind != self.kind {
            found.push(wrong("kind", format!("your own key is of the kind {}", self.kind.as_str())));
        }
        found
    }

    /// Networks that this key may not be used from.
    fn outside(&self, networks: &[Network]) -> Option<Finding> {
        let is_inside = |network: &Network| self.networks.iter().any(|own| own.holds(network));
        if self.networks.is_empty() || (!networks.is_empty() && networks.iter().all(is_inside)) {
            return None;
        }
        let own: Vec<_> = self.networks.iter().map(Network::to_string).collect();
        let detail = format!("must be within the networks of your own key, {}", own.join(", "));
        Some(Finding::new("ipAllow", Code::Forbidden, detail))
    }
}

/// Refuses to change a key that may do more than the caller's, or to let one reach further.
///
/// # Errors
/// 403 with all that is beyond; 404.
pub async fn check_change(call: &Call, id: KeyId, patch: &KeyPatch) -> Result<(), Problem> {
    let (own, row) = (Own::of(call).await?, found(call, id).await?);
    let networks = patch.ip_allow.as_ref().unwrap_or(&row.ip_allow);
    let only_ends = patch.active == Some(false) && patch.name.is_none() && patch.ip_allow.is_none();
    let beyond = if only_ends { own.above(row.scopes, row.kind) } else { own.beyond(row.scopes, row.kind, networks) };
    refuse(beyond)
}

/// Refuses to end a key that may do more than the caller's.
///
/// # Errors
/// 403 with all that is beyond; 404.
pub async fn check_end(call: &Call, id: KeyId) -> Result<(), Problem> {
    let (own, row) = (Own::of(call).await?, found(call, id).await?);
    refuse(own.above(row.scopes, row.kind))
}

async fn found(call: &Call, id: KeyId) -> Result<KeyRow, Problem> {
    Ok(keys::get(call.app.service.store(), call.account_or_all()?, id).await?)
}

/// 403 with findings; nothing when there are none.
pub fn refuse(beyond: Vec<Finding>) -> Result<(), Problem> {
    let Some(first) = beyond.first() else { return Ok(()) };
    let detail = format!("{}: {}", first.field, first.detail);
    Err(Problem { errors: beyond, ..Problem::new(Code::Forbidden, detail) })
}

/// Refuses a test key to touch a message to somebody.
///
/// # Errors
/// 403; 404.
pub async fn check_message(call: &Call, id: MessageId) -> Result<(), Problem> {
    if call.caller()?.kind != KeyKind::Test {
        return Ok(());
    }
    let message = call.app.service.message(call.scope()?, id).await?;
    is_test(message.to.is_some_and(|to| to.is_for_tests()))
}

/// The same of a batch. Messages of one request come with one key: either all of them go to test numbers, or none.
///
/// # Errors
/// 403; 404.
pub async fn check_batch(call: &Call, id: RequestId) -> Result<(), Problem> {
    if call.caller()?.kind != KeyKind::Test {
        return Ok(());
    }
    let query = ListQuery { batch: Some(id), limit: 1, ..ListQuery::default() };
    let page = call.app.service.list(call.scope()?, query).await?;
    let first = page.items.into_iter().next().ok_or_else(Problem::not_found)?;
    is_test(first.to.is_some_and(|to| to.is_for_tests()))
}

/// The same of a group.
///
/// # Errors
/// 403; 404.
pub async fn check_group(call: &Call, id: GroupId) -> Result<(), Problem> {
    if call.caller()?.kind != KeyKind::Test {
        return Ok(());
    }
    Ok(call.app.service.check_group_kind(call.sending()?, id).await?)
}

fn is_test(is_for_tests: bool) -> Result<(), Problem> {
    if is_for_tests { Ok(()) } else { Err(Problem::new(Code::Forbidden, NOTHING_LIVE)) }
}
