//! Live progress of a batch or a group as server-sent events: counts that add up in every event, until all is over.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{GroupId, RequestId};
use bongsu_send::Scope;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::streams::Seat;
use crate::view::Progress;

/// Two events of a stream lie at least this far apart.
const PACE: Duration = Duration::from_millis(200);
/// How often counts are read when this process hears of nothing: another one may have changed them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A line is sent at least this often, so that nobody takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this; who wants more opens it again.
const LONGEST: Duration = Duration::from_secs(3600);

/// Progress of a group.
pub async fn group_events(call: Call) -> Result<Reply, Problem> {
    let id = call.id::<GroupId>()?;
    events(&call, Subject::Group(id)).await
}

/// Progress of a batch.
pub async fn batch_events(call: Call) -> Result<Reply, Problem> {
    let id = call.id::<RequestId>()?;
    events(&call, Subject::Batch(id)).await
}

/// What is watched.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Group(GroupId),
    Batch(RequestId),
}

impl Subject {
    /// Where it stands, and whether nothing will change any more.
    async fn look(self, app: &App, scope: Scope) -> Result<(Progress, bool), Problem> {
        match self {
            Subject::Group(id) => {
                let (group, counts) = app.service.group_progress(scope, id).await?;
                let is_over = group.finished_at.is_some();
                Ok((Progress::new(Some(group.state), &counts), is_over))
            }
            Subject::Batch(id) => {
                let counts = app.service.batch_progress(scope, id).await?;
                Ok((Progress::new(None, &counts), counts.is_over()))
            }
        }
    }
}

async fn events(call: &Call, subject: Subject) -> Result<Reply, Problem> {
    let scope = call.scope()?;
    let first = subject.look(&call.app, scope).await?;
    let seat = call.app.streams.take(call.caller()?)?;
    let watch = Watch {
        app: call.app.clone(),
        scope,
        subject,
        news: call.app.service.watch_facts(),
        over: call.app.streams.over(),
        told: None,
        next: Some(first),
        began: Instant::now(),
        ended: false,
        _seat: seat,
    };
    let stream = futures_util::stream::unfold(watch, |mut watch| async move {
        let text = watch.next().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(text)), watch))
    });
    Ok(Reply::stream("text/event-stream", stream))
}

/// One open stream.
struct Watch {
    app: Arc<App>,
    scope: Scope,
    subject: Subject,
    news: watch::Receiver<u64>,
    /// True once the process is about to end.
    over: watch::Receiver<bool>,
    told: Option<Progress>,
    /// What was read and not told.
    next: Option<(Progress, bool)>,
    began: Instant,
    ended: bool,
    _seat: Seat,
}

impl Watch {
    /// The next lines; none at the end.
    async fn next(&mut self) -> Option<String> {
        let quiet_since = Instant::now();
        if self.ended {
            return None;
        }
        loop {
            if let Some((progress, is_over)) = self.next.take() {
                self.ended = is_over;
                if is_over || self.told.as_ref() != Some(&progress) {
                    let event = if is_over { "finished" } else { "progress" };
                    let data = serde_json::to_string(&progress).unwrap_or_default();
                    self.told = Some(progress);
                    return Some(format!("event: {event}\ndata: {data}\n\n"));
                }
            }
            if self.began.elapsed() >= LONGEST || *self.over.borrow() {
                return None;
            }
            if quiet_since.elapsed() >= HEARTBEAT {
                return Some(": still here\n\n".to_owned());
            }
            let Self { news, over, .. } = self;
            let wait = async {
                tokio::time::sleep(PACE).await;
                let _ = tokio::time::timeout(LOOK_EVERY.saturating_sub(PACE), news.changed()).await;
            };
            tokio::select! {
                () = wait => {}
                _ = over.wait_for(|over| *over) => return None,
            }
            match self.subject.look(&self.app, self.scope).await {
                Ok(look) => self.next = Some(look),
                // It is gone, or the store is away: who watches opens the stream again.
                Err(_) => return None,
            }
        }
    }
}
