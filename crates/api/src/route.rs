//! The one table of routes: the router, the authorisation and the OpenAPI document all come from it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter, on};
use bongsu_store::keys::KeyScope;
use futures_util::future::BoxFuture;
use http::Method;

use crate::app::App;
use crate::call::Call;
use crate::door;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::{
    accounts, attempts, audit, audit_log, batches, distributions, events, export, groups, health, keys, messages,
    parked, prices, progress, relays, senders, stats, team_numbers, validate, wallet, webhooks, why,
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Any valid key.
    Key,
    /// A key with this scope; an operator's key, too.
    Scope(KeyScope),
    /// A key of an account with this scope; an operator is refused, because the thing belongs to one account.
    Account(KeyScope),
    /// An operator's key.
    Operator,
}

/// What a route takes as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// No body; one that comes is not read.
    Nothing,
    /// JSON of this schema.
    Json(&'static str),
    /// JSON of this schema, or nothing.
    Optional(&'static str),
    /// Rows as JSON, NDJSON or CSV, of any length: the handler reads them piece by piece.
    Rows,
}

/// A handler: everything it may use is in the call.
pub type Handler = fn(Call) -> BoxFuture<'static, Result<Reply, Problem>>;

/// One route.
pub struct Route {
    pub method: Method,
    /// Path with at most two parameters in braces.
    pub path: &'static str,
    /// OpenAPI operation id: the handler's name.
    pub id: &'static str,
    pub summary: &'static str,
    pub access: Access,
    /// Query parameters; others are refused.
    pub query: &'static [&'static str],
    pub takes: Takes,
    /// Status and schema of the good answer; no schema when it has no JSON body.
    pub gives: (u16, Option<&'static str>),
    pub handler: Handler,
}

impl Route {
    /// The first parameter's value in a path of this route.
    pub fn parameter<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.values(path).next()
    }

    /// The second one's.
    pub fn second_parameter<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.values(path).nth(1)
    }

    fn values<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        self.path
            .split('/')
            .zip(path.split('/'))
            .filter(|(segment, _)| segment.starts_with('{'))
            .map(|(_, value)| value)
    }

    /// The names of the parameters.
    pub fn parameter_names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Whether a call of it is kept in the audit log: it changes something, and is not one of those that messages come with,
    /// which their requests tell of.
    pub fn is_noted(&self) -> bool {
        const UNNOTED: [&str; 3] = ["/v1/messages", "/v1/messages/batch", "/v1/messages/validate"];
        self.changes() && !UNNOTED.contains(&self.path)
    }

    /// Whether its answer is right until a setting changes, so that a repeated read needs no store (A08).
    pub fn is_remembered(&self) -> bool {
        const REMEMBERED: [&str; 9] = [
            "list_prices",
            "find_distribution",
            "list_senders",
            "find_sender",
            "list_keys",
            "find_key",
            "list_accounts",
            "find_account",
            "list_team_numbers",
        ];
        REMEMBERED.contains(&self.id)
    }

    /// Whether its answer has an entity tag: a read of JSON or of a page.
    pub fn is_tagged(&self) -> bool {
        !self.changes() && self.gives.0 == 200 && (self.gives.1.is_some() || self.path == "/docs")
    }

    /// Whether it may change something. Such a handler runs to its end even when the client goes away.
    pub fn changes(&self) -> bool {
        self.method != Method::GET
    }
}

const PAGE: &[&str] = &["limit", "cursor"];
const PAGE_OF_ACCOUNT: &[&str] = &["account", "limit", "cursor"];
const OF_ACCOUNT: &[&str] = &["account"];
const EVENTS: &[&str] = &["account", "after", "since", "limit"];
const STATS: &[&str] = &["account", "from", "to", "by"];
/// The filters of [`LIST`], for a file that has no pages.
const EXPORT: &[&str] = LIST.split_at(LIST.len() - 2).0;
const LIST: &[&str] = &[
    "account",
    "messageId",
    "recipient",
    "recipientLast4",
    "sender",
    "label",
    "billCode",
    "q",
    "since",
    "until",
    "status",
    "originStatus",
    "code",
    "channel",
    "type",
    "relay",
    "lane",
    "batchId",
    "clientRef",
    "limit",
    "cursor",
];

const AUDIT_LOG: &[&str] = &["account", "key", "kind", "operation", "since", "until", "limit", "cursor"];

macro_rules! route {
    ($method:ident $path:literal $module:ident::$id:ident, $access:expr, $query:expr, $takes:expr,
     $status:literal $schema:expr, $summary:literal) => {
        Route {
            method: Method::$method,
            path: $path,
            id: stringify!($id),
            summary: $summary,
            access: $access,
            query: $query,
            takes: $takes,
            gives: ($status, $schema),
            handler: |call| Box::pin($module::$id(call)),
        }
    };
}

/// Every route of the interface.
#[rustfmt::skip]
pub static ROUTES: &[Route] = {
    use Access::{Account, Key, Operator, Public, Scope};
    use KeyScope::{Manage, Read, Send};
    use Takes::{Json, Nothing, Optional, Rows};
    &[
        route!(POST "/v1/messages" messages::send_message, Account(Send), &[], Json("SendMessage"), 202 Some("Accepted"), "Accept one message for delivery"),
        route!(POST "/v1/messages/batch" messages::send_batch, Account(Send), &["return"], Json("SendBatch"), 202 Some("AcceptedBatch"), "Accept up to 10,000 messages"),
        route!(GET "/v1/messages" messages::list_messages, Scope(Read), LIST, Nothing, 200 Some("MessagePage"), "List messages, newest first"),
        route!(POST "/v1/messages/validate" validate::validate_messages, Account(Send), &[], Json("Validate"), 200 Some("Validation"), "Say what sending would do, and do nothing"),
        route!(GET "/v1/messages.csv" export::export_messages, Scope(Read), EXPORT, Nothing, 200 None, "Export messages as CSV, newest first"),
        route!(GET "/v1/messages/{id}" messages::find_message, Scope(Read), &[], Nothing, 200 Some("Message"), "Read a message with its attempts"),
        route!(GET "/v1/messages/{id}/why" why::explain_message, Scope(Read), &[], Nothing, 200 Some("Why"), "Say what decided about a message, by rules"),
        route!(GET "/v1/messages/{id}/trace" why::trace_message, Scope(Read), &[], Nothing, 200 Some("Trace"), "Show every step of a message in order"),
        route!(GET "/v1/traces/{id}" why::find_trace, Scope(Read), &["account", "since", "until"], Nothing, 200 Some("Traced"), "Find what a message, batch, group or request id led to"),
        route!(POST "/v1/messages/{id}/cancel" messages::cancel_message, Scope(Send), &[], Nothing, 200 Some("Message"), "Cancel a message that has not left"),
        route!(POST "/v1/messages/{id}/reschedule" messages::reschedule_message, Scope(Send), &[], Json("NewTime"), 200 Some("Message"), "Have a scheduled message leave at another time"),
        route!(POST "/v1/batches/{id}/cancel" batches::cancel_batch, Scope(Send), &[], Nothing, 200 Some("CanceledBatch"), "Cancel what of a batch has not left"),
        route!(POST "/v1/batches/{id}/reschedule" batches::reschedule_batch, Scope(Send), &[], Json("NewTime"), 200 Some("MovedBatch"), "Have what of a batch waits for its time leave at another"),

        route!(GET "/v1/batches/{id}/events" progress::batch_events, Scope(Read), OF_ACCOUNT, Nothing, 200 None, "Watch the progress of a batch as server-sent events"),

        route!(POST "/v1/groups" groups::create_group, Account(Send), &[], Json("NewGroup"), 201 Some("Group"), "Make a group, to be filled with up to 1,000,000 rows"),
        route!(GET "/v1/groups" groups::list_groups, Scope(Read), PAGE_OF_ACCOUNT, Nothing, 200 Some("GroupPage"), "List groups, newest first"),
        route!(GET "/v1/groups/{id}" groups::find_group, Scope(Read), &[], Nothing, 200 Some("Group"), "Read a group with counts by status"),
        route!(POST "/v1/groups/{id}/rows" groups::add_rows, Account(Send), &["from"], Rows, 200 Some("Uploaded"), "Add rows as JSON, NDJSON or CSV"),
        route!(GET "/v1/groups/{id}/errors" groups::list_group_errors, Scope(Read), PAGE, Nothing, 200 Some("RowErrorPage"), "List what is wrong with rows, in their order"),
        route!(POST "/v1/groups/{id}/send" groups::send_group, Account(Send), &[], Nothing, 202 Some("Group"), "Send a group"),
        route!(POST "/v1/groups/{id}/schedule" groups::schedule_group, Account(Send), &[], Json("NewTime"), 202 Some("Group"), "Send a group at a time, or at another one than before"),
        route!(POST "/v1/groups/{id}/approve" groups::approve_group, Account(Manage), &[], Nothing, 202 Some("Group"), "Let a group go that another key sent"),
        route!(POST "/v1/groups/{id}/cancel" groups::cancel_group, Scope(Send), &[], Nothing, 200 Some("Group"), "Cancel a group; says how many messages had left"),
        route!(GET "/v1/groups/{id}/failures.csv" groups::group_failures, Scope(Read), &[], Nothing, 200 None, "What did not arrive of a group, as CSV"),
        route!(GET "/v1/groups/{id}/events" progress::group_events, Scope(Read), &[], Nothing, 200 None, "Watch the progress of a group as server-sent events"),

        route!(POST "/v1/senders" senders::create_sender, Scope(Manage), OF_ACCOUNT, Json("NewSender"), 201 Some("CodedSender"), "Register a sender number and send it a code"),
        route!(GET "/v1/senders" senders::list_senders, Scope(Manage), PAGE_OF_ACCOUNT, Nothing, 200 Some("SenderPage"), "List sender numbers"),
        route!(GET "/v1/senders/{id}" senders::find_sender, Scope(Manage), &[], Nothing, 200 Some("Sender"), "Read a sender number"),
        route!(DELETE "/v1/senders/{id}" senders::delete_sender, Scope(Manage), &[], Nothing, 204 None, "Delete a sender number"),
        route!(POST "/v1/senders/{id}/code" senders::send_sender_code, Scope(Manage), &[], Nothing, 202 Some("CodedSender"), "Send the code again"),
        route!(POST "/v1/senders/{id}/verify" senders::verify_sender, Scope(Manage), &[], Json("VerifySender"), 200 Some("Sender"), "Prove a sender number with its code"),
        route!(POST "/v1/senders/{id}/approve" senders::approve_sender, Operator, &[], Nothing, 200 Some("Sender"), "Activate a sender number without a code"),

        route!(POST "/v1/relays" relays::create_relay, Operator, &[], Json("NewRelay"), 201 Some("Relay"), "Add a relay"),
        route!(GET "/v1/relays" relays::list_relays, Operator, &[], Nothing, 200 Some("RelayPage"), "List relays with their health"),
        route!(GET "/v1/relays/{name}" relays::find_relay, Operator, &[], Nothing, 200 Some("Relay"), "Read a relay with its health"),
        route!(PATCH "/v1/relays/{name}" relays::update_relay, Operator, &[], Json("RelayPatch"), 200 Some("Relay"), "Change a relay"),
        route!(DELETE "/v1/relays/{name}" relays::delete_relay, Operator, &[], Nothing, 204 None, "Delete a relay that no distribution uses"),

        route!(GET "/v1/distributions/{channel}" distributions::find_distribution, Scope(Manage), OF_ACCOUNT, Nothing, 200 Some("Distribution"), "Read the shares of the relays"),
        route!(PUT "/v1/distributions/{channel}" distributions::update_distribution, Scope(Manage), OF_ACCOUNT, Json("Shares"), 200 Some("Distribution"), "Set the shares of the relays"),
        route!(DELETE "/v1/distributions/{channel}" distributions::reset_distribution, Scope(Manage), OF_ACCOUNT, Nothing, 200 Some("Distribution"), "Back to even shares"),

        route!(GET "/v1/prices" prices::list_prices, Key, &[], Nothing, 200 Some("PricePage"), "List prices"),
        route!(PUT "/v1/prices" prices::update_price, Operator, &[], Json("Price"), 200 Some("Price"), "Set the price of a channel"),

        route!(GET "/v1/wallet" wallet::find_wallet, Scope(Read), OF_ACCOUNT, Nothing, 200 Some("Wallet"), "Read the balances"),
        route!(GET "/v1/wallet/entries" wallet::list_entries, Scope(Read), &["account", "unit", "limit", "cursor"], Nothing, 200 Some("EntryPage"), "List the ledger, newest first"),
        route!(POST "/v1/wallet/credits" wallet::create_credit, Operator, &[], Json("NewCredit"), 201 Some("Entry"), "Credit an account, once per cause"),

        route!(POST "/v1/accounts" accounts::create_account, Operator, &[], Json("NewAccount"), 201 Some("Account"), "Create an account"),
        route!(GET "/v1/accounts" accounts::list_accounts, Operator, PAGE, Nothing, 200 Some("AccountPage"), "List accounts, newest first"),
        route!(GET "/v1/accounts/{id}" accounts::find_account, Scope(Manage), &[], Nothing, 200 Some("Account"), "Read an account"),
        route!(PATCH "/v1/accounts/{id}" accounts::update_account, Scope(Manage), &[], Json("AccountPatch"), 200 Some("Account"), "Change an account; its own keys change what it says of itself in advertisements"),
        route!(GET "/v1/accounts/{id}/team-numbers" team_numbers::list_team_numbers, Scope(Manage), &[], Nothing, 200 Some("TeamNumbers"), "List the numbers that team keys may send to"),
        route!(PUT "/v1/accounts/{id}/team-numbers" team_numbers::update_team_numbers, Scope(Manage), &[], Json("TeamNumbersPut"), 200 Some("TeamNumbers"), "Replace the numbers that team keys may send to"),

        route!(POST "/v1/accounts/{id}/trace" accounts::look_at_account, Operator, &[], Json("LookAt"), 200 Some("LookedAt"), "Write the steps of an account's messages to this process's log for a while"),

        route!(POST "/v1/keys" keys::create_key, Scope(Manage), &[], Json("NewKey"), 201 Some("CreatedKey"), "Create an API key; it is shown once"),
        route!(GET "/v1/keys" keys::list_keys, Scope(Manage), PAGE_OF_ACCOUNT, Nothing, 200 Some("KeyPage"), "List API keys"),
        route!(GET "/v1/keys/{id}" keys::find_key, Scope(Manage), &[], Nothing, 200 Some("Key"), "Read an API key"),
        route!(PATCH "/v1/keys/{id}" keys::update_key, Scope(Manage), &[], Json("KeyPatch"), 200 Some("Key"), "Switch an API key on or off, rename it, or limit where it is used from"),
        route!(DELETE "/v1/keys/{id}" keys::revoke_key, Scope(Manage), &[], Nothing, 204 None, "Revoke an API key"),

        route!(POST "/v1/webhooks" webhooks::create_webhook, Scope(Manage), OF_ACCOUNT, Json("NewWebhook"), 201 Some("SecretWebhook"), "Create a webhook; its secret is shown once"),
        route!(GET "/v1/webhooks" webhooks::list_webhooks, Scope(Manage), PAGE_OF_ACCOUNT, Nothing, 200 Some("WebhookPage"), "List webhooks"),
        route!(GET "/v1/webhooks/{id}" webhooks::find_webhook, Scope(Manage), &[], Nothing, 200 Some("Webhook"), "Read a webhook"),
        route!(PATCH "/v1/webhooks/{id}" webhooks::update_webhook, Scope(Manage), &[], Json("WebhookPatch"), 200 Some("Webhook"), "Change a webhook"),
        route!(DELETE "/v1/webhooks/{id}" webhooks::delete_webhook, Scope(Manage), &[], Nothing, 204 None, "Delete a webhook with what waits for it"),
        route!(POST "/v1/webhooks/{id}/rotate" webhooks::rotate_webhook, Scope(Manage), &[], Optional("RotateWebhook"), 200 Some("SecretWebhook"), "Give a webhook a new secret; the old one signs beside it for a while"),
        route!(POST "/v1/webhooks/{id}/enable" webhooks::enable_webhook, Scope(Manage), &[], Nothing, 200 Some("Webhook"), "Call a webhook again, whatever stopped it"),
        route!(POST "/v1/webhooks/{id}/test" webhooks::test_webhook, Scope(Manage), &[], Nothing, 200 Some("WebhookTrial"), "Call a webhook once and tell how that went"),
        route!(POST "/v1/webhooks/{id}/replay" webhooks::replay_webhook, Scope(Manage), &[], Json("ReplayWebhook"), 202 None, "Tell a webhook everything again since a time"),
        route!(GET "/v1/webhooks/{id}/deliveries" webhooks::list_deliveries, Scope(Manage), &["deliveryStatus", "limit", "cursor"], Nothing, 200 Some("DeliveryPage"), "List what a webhook was told, newest first"),
        route!(POST "/v1/webhooks/{id}/deliveries/{delivery}/replay" webhooks::replay_delivery, Scope(Manage), &[], Nothing, 202 Some("Delivery"), "Tell one delivery again"),

        route!(GET "/v1/attempts" attempts::list_attempts, Scope(Read), &["account", "outcome", "limit", "cursor"], Nothing, 200 Some("UnknownPage"), "List attempts whose result is unknown"),
        route!(GET "/v1/parked" parked::list_parked, Operator, PAGE, Nothing, 200 Some("ParkedPage"), "List messages that could not be processed"),
        route!(POST "/v1/parked/{id}/replay" parked::replay_parked, Operator, &[], Nothing, 202 None, "Process a parked message again"),
        route!(GET "/v1/audit-log" audit_log::list_audit_log, Scope(Manage), AUDIT_LOG, Nothing, 200 Some("AuditPage"), "List who changed what, newest first"),

        route!(GET "/v1/events" events::list_events, Scope(Read), EVENTS, Nothing, 200 Some("EventPage"), "List events, oldest first"),
        route!(GET "/v1/stats" stats::read_stats, Scope(Read), STATS, Nothing, 200 Some("Stats"), "Add up messages by day of accept"),

        route!(GET "/v1/audit" audit::count_totals, Operator, &[], Nothing, 200 Some("Totals"), "Count what was promised against what is there"),

        route!(GET "/docs" health::docs_page, Public, &["lang"], Nothing, 200 None, "The interface for people, in English or Korean"),
        route!(GET "/openapi.json" health::openapi_document, Public, &[], Nothing, 200 Some("OpenApi"), "This document"),
        route!(GET "/health/live" health::live, Public, &[], Nothing, 200 Some("Live"), "Whether the process runs"),
        route!(GET "/health/ready" health::ready, Public, &[], Nothing, 200 Some("Ready"), "Whether it can work, by dependency"),
        route!(GET "/metrics" health::metrics, Public, &[], Nothing, 200 None, "Metrics in the Prometheus text format"),
    ]
};

/// The router over all routes. Further rooms merge theirs into it.
pub fn router(app: &Arc<App>) -> Router {
    over(app, |_| true)
}

/// The router over health and metrics alone.
pub fn probes(app: &Arc<App>) -> Router {
    over(app, |route| route.path == "/metrics" || route.path.starts_with("/health/"))
}

fn over(app: &Arc<App>, serves: fn(&Route) -> bool) -> Router {
    let mut router = Router::new();
    for path in paths() {
        let mut methods = MethodRouter::new();
        for route in ROUTES.iter().filter(|route| route.path == path && serves(route)) {
            let app = app.clone();
            let filter = MethodFilter::try_from(route.method.clone()).expect("the table has standard methods");
            methods = methods.merge(on(filter, move |request: Request| door::enter(app, route, request)));
        }
        router = router.route(path, methods);
    }
    let (lost, wrong) = (app.clone(), app.clone());
    router
        .fallback(move |request: Request| door::no_such_path(lost, request))
        .method_not_allowed_fallback(move |request: Request| door::no_such_method(wrong, request))
}

/// Every path once, in the order of the table.
pub fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&str> = Vec::new();
    for route in ROUTES {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    paths
}
