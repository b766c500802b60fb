//! What became of messages: listings and searches, on the replica where it may answer.

use bongsu_domain::AccountId;

use super::{Place, Store};
use crate::error::Error;
use crate::lookup::{self, UnknownRow};
use crate::query::{self, Filter, Found, FoundPage, ParkedRow};
use crate::readers::Reader;
use crate::rows::MessageRow;
use crate::{search, trace};

impl Store {
    /// One message of an account (or of any) with its attempts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn message(&self, account: Option<AccountId>, id: i64) -> Result<Option<Found>, Error> {
        self.history(account, move |reader| query::one(reader, account, id)).await
    }

    /// Messages of an account by their ids, in no order; those that are not there are left out.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn messages_by_id(&self, account: AccountId, ids: Vec<i64>) -> Result<Vec<MessageRow>, Error> {
        self.read(move |reader| query::rows_of(reader, account, &ids)).await
    }

    fn search(&self) -> search::Search {
        match &self.inner.place {
            Place::Files { index, .. } => search::Search::Index(index.clone()),
            #[cfg(feature = "mysql")]
            Place::Database { .. } => search::Search::Tables,
        }
    }

    /// Reads history: on a replica where there is one that has everything the account wrote.
    pub(crate) async fn history<T, F>(&self, account: Option<AccountId>, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&mut Reader) -> Result<T, Error> + Send + Sync + 'static,
    {
        #[cfg(feature = "mysql")]
        if let (Place::Database { replica: Some(replica), .. }, Some(account)) = (&self.inner.place, account) {
            let last = self.read(move |reader| crate::my::last_write(&reader.live, account)).await?;
            if replica.serves(account, last, self.inner.clock.now()).await {
                let work = std::sync::Arc::new(work);
                let there = work.clone();
                match replica.readers().read(move |reader| there(reader)).await {
                    Err(error) if error.kind() == crate::Kind::Unavailable || error.kind() == crate::Kind::Lost => {
                        replica.is_away()
                    }
                    answered => {
                        self.inner.metrics.replica_reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        return answered;
                    }
                }
                return self.read(move |reader| work(reader)).await;
            }
        }
        let _ = account;
        self.read(work).await
    }

    #[cfg(feature = "mysql")]
    pub(crate) fn replica(&self) -> Option<&crate::my::Replica> {
        match &self.inner.place {
            Place::Database { replica, .. } => replica.as_deref(),
            Place::Files { .. } => None,
        }
    }

    /// An account wrote something else than a message: for a while it reads where that is.
    pub fn wrote(&self, account: AccountId) {
        #[cfg(feature = "mysql")]
        if let Place::Database { replica: Some(replica), .. } = &self.inner.place {
            replica.wrote(account, self.inner.clock.now());
        }
        let _ = account;
    }

    /// Everything that is kept about one message of an account (or of any).
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn trace(&self, account: Option<AccountId>, id: i64) -> Result<Option<trace::Trace>, Error> {
        let vault = self.vault().clone();
        self.read(move |reader| trace::of_message(reader, &vault, account, id)).await
    }

    /// The messages of a run from an id on and before another, as their first attempt left them.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn between(&self, from: i64, before: i64) -> Result<Vec<trace::Earlier>, Error> {
        self.read(move |reader| trace::between(reader, from, before)).await
    }

    /// One request of an account (or of any).
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn request(&self, account: Option<AccountId>, id: i64) -> Result<Option<trace::RequestRow>, Error> {
        self.read(move |reader| trace::request(&reader.live, account, id)).await
    }

    /// Requests that came with an HTTP request, newest first in a range of ids, and where to go on when there was too much
    /// to look through at once.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn requests_of(
        &self,
        account: Option<AccountId>,
        trace: String,
        range: (i64, i64),
    ) -> Result<(Vec<trace::RequestRow>, Option<i64>), Error> {
        self.read(move |reader| trace::by_trace(&reader.live, account, &trace, range)).await
    }

    /// Requests that calls of the audit log were about which came with an HTTP request, in a range of ids of the log.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn requests_noted(
        &self,
        account: Option<AccountId>,
        trace: String,
        range: (i64, i64),
    ) -> Result<Vec<trace::RequestRow>, Error> {
        self.read(move |reader| trace::by_note(reader, account, &trace, range)).await
    }

    /// A page of messages.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn page(&self, filter: Filter) -> Result<FoundPage, Error> {
        let search = self.search();
        let account = filter.account;
        self.history(account, move |reader| search::page(reader, &search, &filter)).await
    }

    /// Attempts that are or were unknown, newest first.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn unknown_attempts(
        &self,
        account: Option<AccountId>,
        below: (i64, u8),
        limit: u32,
    ) -> Result<Vec<UnknownRow>, Error> {
        self.read(move |reader| lookup::unknown_page(&reader.live, account, below, limit)).await
    }

    /// Attempts whose fate is unknown now.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn unknown_open(&self) -> Result<u64, Error> {
        self.read(|reader| {
            let mut open = reader.live.prepare_cached("SELECT COUNT(*) FROM unknown_attempts WHERE resolved = 0")?;
            Ok(open.query_row((), |row| row.get::<i64>(0))?.unsigned_abs())
        })
        .await
    }

    /// Messages that cannot be processed, newest first.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn parked(&self, account: Option<AccountId>, below: i64, limit: u32) -> Result<Vec<ParkedRow>, Error> {
        self.read(move |reader| query::parked(reader, account, below, limit)).await
    }

    /// Puts a parked message back into the line.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn replay(&self, account: Option<AccountId>, id: i64) -> Result<(), Error> {
        let done = self.write_as(false, move |tx| query::replay(tx, account, id)).await;
        if let Some(account) = account {
            self.wrote(account);
        }
        done
    }
}
