//! What is done with a group as a whole: made, looked at, sent, scheduled, approved, canceled.

use bongsu_domain::{Code, GroupId, KeyId, Lane, RequestId, Timestamp};
use bongsu_store::accept::Seen;
use bongsu_store::groups::{self as stored, SendGroup, SendRefused, State};

use super::view::{Counts, GroupView, RowErrorView};
use crate::accept::store_refusal;
use crate::prepare::Extra;
use crate::service::{Service, account_of};
use crate::types::{Answer, Finding, Idempotency, Page, Reach, Refusal, Scope, Sending};

/// A group that is to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// What its owner calls it.
    pub name: Option<String>,
    /// JSON of what rows do not say.
    pub defaults: String,
    /// Another key has to approve it.
    pub approval: bool,
    /// When it is to be sent.
    pub send_at: Option<Timestamp>,
}

/// What is asked of a staged group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSend {
    /// To be sent, at its time if it has one.
    Send,
    /// To be sent at a time, or at another one than before.
    At(Timestamp),
    /// What another key sent is to leave.
    Approve,
}

impl Service {
    /// Makes a group. `shown` makes the body of the answer, which is kept under the idempotency key.
    ///
    /// # Errors
    /// `ScheduleOutOfRange`; `RateLimited` when too many groups wait to be sent; those of the idempotency key.
    pub async fn create_group(
        &self,
        sending: Sending,
        new: NewGroup,
        idem: Option<Idempotency>,
        shown: impl Fn(&GroupView) -> Vec<u8> + Send + 'static,
    ) -> Result<Answer, Refusal> {
        let now = self.shared.clock.now();
        let send_at = new.send_at.map(|at| self.check_time(at)).transpose()?;
        let account = sending.account;
        let key = idem.as_ref().map(|idem| self.idempotency_key(account, idem));
        let new = stored::NewGroup {
            account,
            name: new.name,
            defaults: self.shared.store.vault().seal(Terms::text(sending.reach, &new.defaults).as_bytes()),
            approval: new.approval,
            send_at: send_at.map_or(0, Timestamp::millis),
        };
        let answer = Box::new(move |row: &stored::GroupRow| shown(&GroupView::new(row, now, None)));
        match self.shared.store.create_group(new, key, answer).await.map_err(group_refusal)? {
            Ok((_, body)) => Ok(Answer { status: 201, body, replayed: false }),
            Err(Seen::Answer(status, body)) => Ok(Answer { status, body, replayed: true }),
            Err(Seen::OtherBody) => {
                Err(Refusal::new(Code::IdempotencyMismatch, "this Idempotency-Key was used with another body"))
            }
        }
    }

    /// One group.
    ///
    /// # Errors
    /// `NotFound`, also for a neighbour's.
    pub async fn group(&self, scope: Scope, id: GroupId) -> Result<GroupView, Refusal> {
        let row = self.group_row(scope, id).await?;
        self.shown(&row).await
    }

    pub(super) async fn group_row(&self, scope: Scope, id: GroupId) -> Result<stored::GroupRow, Refusal> {
        let row = self.shared.store.group(account_of(scope), id.0).await.map_err(store_refusal)?;
        row.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such group"))
    }

    async fn shown(&self, row: &stored::GroupRow) -> Result<GroupView, Refusal> {
        let counts = match row.sent {
            0 => None,
            _ => Some(self.counts(row.id, u64::from(row.accepted)).await?),
        };
        Ok(GroupView::new(row, self.shared.clock.now(), counts))
    }

    async fn counts(&self, request: i64, total: u64) -> Result<Counts, Refusal> {
        let recorded = self.shared.store.progress(request).await.map_err(store_refusal)?;
        Ok(Counts::new(total, recorded))
    }

    /// Groups, newest first. They come without counts by status.
    ///
    /// # Errors
    /// `BadRequest` for a cursor that is none.
    pub async fn list_groups(
        &self,
        scope: Scope,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<GroupView>, Refusal> {
        let below = match cursor {
            None => i64::MAX,
            Some(text) => text.parse::<GroupId>().map_err(|_| not_a_cursor())?.0,
        };
        let rows = self.shared.store.groups(account_of(scope), below, limit).await.map_err(store_refusal)?;
        let next_cursor = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.group().to_string());
        let now = self.shared.clock.now();
        Ok(Page { items: rows.iter().map(|row| GroupView::new(row, now, None)).collect(), next_cursor })
    }

    /// What is wrong with rows of a group, in their order.
    ///
    /// # Errors
    /// `NotFound`; `BadRequest` for a cursor that is none.
    pub async fn group_errors(
        &self,
        scope: Scope,
        id: GroupId,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<RowErrorView>, Refusal> {
        let group = self.group_row(scope, id).await?;
        let after = match cursor {
            None => (0, 0),
            Some(text) => text
                .split_once('.')
                .and_then(|(row, seq)| Some((row.parse().ok()?, seq.parse().ok()?)))
                .ok_or_else(not_a_cursor)?,
        };
        let limit = limit.clamp(1, bongsu_store::PAGE_MAX);
        let errors = self.shared.store.group_errors(group.id, after, limit).await.map_err(store_refusal)?;
        let next_cursor = errors.last().filter(|_| errors.len() == limit as usize);
        let next_cursor = next_cursor.map(|error| format!("{}.{}", error.row, error.seq));
        let view = |error: stored::RowFailure| RowErrorView {
            row: error.row,
            code: error.code,
            field: error.field,
            detail: error.detail,
            client_ref: Extra::parse(error.identity.extra.as_deref()).r,
        };
        Ok(Page { items: errors.into_iter().map(view).collect(), next_cursor })
    }

    /// Sends a group, schedules or approves it. One that was sent already stays as it is.
    ///
    /// # Errors
    /// `NotFound`; `NoBalance`; `Conflict` in another state, `Forbidden` when the key that sent it approves;
    /// `ScheduleOutOfRange`.
    pub async fn send_group(&self, sending: Sending, id: GroupId, how: GroupSend) -> Result<GroupView, Refusal> {
        let Sending { account, key, .. } = sending;
        let key = key.map_or(0, |KeyId(key)| key);
        let row = self.group_row(Scope::Account(account), id).await?;
        self.group_terms(&row, sending)?;
        let approves = how == GroupSend::Approve;
        let ask = SendGroup { group: id.0, account, key, send_at: None, approves, trace: self.trace.clone() };
        let done = match how {
            GroupSend::At(at) => {
                let at = self.check_time(at)?;
                self.shared.store.schedule_group(ask, at.millis()).await
            }
            GroupSend::Send | GroupSend::Approve => self.shared.store.send_group(ask).await,
        };
        let row = done.map_err(group_refusal)?.map_err(send_refusal)?;
        self.shared.group_work.notify_one();
        self.shown(&row).await
    }

    /// Cancels a group: what has not left does not leave, and is given back. The view says how many had left.
    ///
    /// # Errors
    /// `NotFound`; `AlreadySent` when every message has its result.
    pub async fn cancel_group(&self, scope: Scope, id: GroupId) -> Result<GroupView, Refusal> {
        let row = self.group_row(scope, id).await?;
        let done = self.shared.store.cancel_group(row.account, id.0).await.map_err(group_refusal)?;
        let row = done.map_err(|state| match state {
            State::Finished => Refusal::new(Code::AlreadySent, "every message of the group has its result"),
            _ => Refusal::new(Code::Conflict, format!("the group is {}", state.as_str())),
        })?;
        self.shared.group_work.notify_one();
        self.shown(&row).await
    }

    /// Whether a key is of the kind of the one that made a group.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` when it is of another.
    pub async fn check_group_kind(&self, sending: Sending, id: GroupId) -> Result<(), Refusal> {
        let row = self.group_row(Scope::Account(sending.account), id).await?;
        self.group_terms(&row, sending).map(drop)
    }

    /// What rows of a group do not say, for a key that may work on it.
    ///
    /// # Errors
    /// `Forbidden` for a key of another kind than the one that made the group: its rows were checked and priced for that.
    pub(super) fn group_terms(&self, row: &stored::GroupRow, sending: Sending) -> Result<String, Refusal> {
        let plain = self.shared.store.vault().open(&row.defaults).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let terms = plain.as_deref().and_then(Terms::parse);
        let (reach, defaults) =
            terms.ok_or_else(|| Refusal::new(Code::Internal, "the group's defaults cannot be read"))?;
        if reach != sending.reach {
            return Err(Refusal::new(Code::Forbidden, "the group was made with a key of another kind"));
        }
        Ok(defaults)
    }

    /// A group, and how many of its messages stand where; before it is sent all of them wait.
    ///
    /// # Errors
    /// `NotFound`, also for a neighbour's.
    pub async fn group_progress(&self, scope: Scope, id: GroupId) -> Result<(GroupView, Counts), Refusal> {
        let row = self.group_row(scope, id).await?;
        let total = u64::from(row.accepted);
        let counts = match row.sent {
            0 => Counts::new(total, Vec::new()),
            _ => self.counts(row.id, total).await?,
        };
        Ok((GroupView::new(&row, self.shared.clock.now(), None), counts))
    }

    /// How many messages of a batch stand where.
    ///
    /// # Errors
    /// `NotFound`, also for a neighbour's.
    pub async fn batch_progress(&self, scope: Scope, id: RequestId) -> Result<Counts, Refusal> {
        let promise = self.shared.store.promise(account_of(scope), id.0).await.map_err(store_refusal)?;
        let promise = promise.filter(|promise| !promise.is_group);
        let promise = promise.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such batch"))?;
        self.counts(id.0, u64::from(promise.accepted)).await
    }

    /// Tells of every commit of this process that recorded something.
    pub fn watch_facts(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.store.watch_facts()
    }

    /// A time at which a group may leave, as it is kept.
    fn check_time(&self, at: Timestamp) -> Result<Timestamp, Refusal> {
        let ads = Default::default();
        let terms = self.terms(Lane::Bulk, &ads);
        let kept = terms.time(at).map_err(|why| {
            Refusal::fields(Code::ScheduleOutOfRange, vec![Finding::new("sendAt", Code::ScheduleOutOfRange, why)])
        })?;
        Ok(kept.unwrap_or(Timestamp::from_millis(terms.now.millis())))
    }
}

/// What is kept of how a group was made, as JSON.
#[derive(serde::Serialize, serde::Deserialize)]
struct Terms<'a> {
    /// Whom its messages may reach.
    reach: u8,
    #[serde(borrow)]
    defaults: &'a serde_json::value::RawValue,
}

impl Terms<'_> {
    const REACHES: [Reach; 3] = [Reach::Live, Reach::Team, Reach::Test];

    fn text(reach: Reach, defaults: &str) -> String {
        let at = Self::REACHES.iter().position(|known| *known == reach).unwrap_or_default();
        format!("{{\"reach\":{at},\"defaults\":{defaults}}}")
    }

    fn parse(text: &str) -> Option<(Reach, String)> {
        let terms: Terms<'_> = serde_json::from_str(text).ok()?;
        Some((*Self::REACHES.get(usize::from(terms.reach))?, terms.defaults.get().to_owned()))
    }
}

fn not_a_cursor() -> Refusal {
    Refusal::new(Code::BadRequest, "cursor: not a cursor of this list")
}

fn send_refusal(refused: SendRefused) -> Refusal {
    match refused {
        SendRefused::NoBalance => {
            Refusal::new(Code::NoBalance, "the balance does not cover the charge; the group stays as it is")
        }
        SendRefused::Empty => Refusal::new(Code::Conflict, "no row of the group was accepted"),
        SendRefused::Uploading => {
            Refusal::new(Code::Conflict, "an upload with an Idempotency-Key is not complete; end it first, or cancel")
        }
        SendRefused::SameKey => {
            Refusal::new(Code::Forbidden, "another key than the one that sent it has to approve it")
        }
        SendRefused::State(state) => Refusal::new(Code::Conflict, format!("the group is {}", state.as_str())),
    }
}

/// An error of the store about a group.
pub(super) fn group_refusal(error: bongsu_store::Error) -> Refusal {
    match error.kind() {
        bongsu_store::Kind::TooMany("groups") => Refusal::new(Code::QuotaExceeded, error.to_string()),
        _ => store_refusal(error),
    }
}
