//! The id of the request that a task works on, for the lines that it logs.

use std::sync::Arc;

tokio::task_local! {
    static REQUEST: Arc<str>;
}

/// The id of the request that this task works on, if it works on one.
pub fn current_request() -> Option<Arc<str>> {
    REQUEST.try_with(Arc::clone).ok()
}

/// Runs `work` for a request. A task that `work` spawns is not in it by itself.
/// It is no `async fn`: that would keep the room of `work` twice, and `work` is what a whole request is.
pub fn within<T>(request: Arc<str>, work: impl Future<Output = T>) -> impl Future<Output = T> {
    REQUEST.scope(request, work)
}
