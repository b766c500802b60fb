//! Statements over many rows: one run a row on SQLite, few round trips on MySQL.

use super::dialect::Many;
use super::value::Binds;
use super::{Db, Engine, Row};
use crate::error::Error;

impl Db {
    /// Writes rows; answers how many rows they matched.
    pub(crate) fn many<B: Binds>(&self, many: &Many, rows: impl IntoIterator<Item = B>) -> Result<usize, Error> {
        match &self.0 {
            Engine::Lite(_) => {
                let mut rows = rows.into_iter().peekable();
                if rows.peek().is_none() {
                    return Ok(0);
                }
                let mut statement = self.prepare_cached(many.lite())?;
                rows.try_fold(0, |sum, row| Ok(sum + statement.execute(row)?))
            }
            #[cfg(feature = "mysql")]
            Engine::My(db) => {
                let rows: Vec<B> = rows.into_iter().collect();
                let mut from = 0;
                let mut sum = 0;
                if many.is_table() {
                    let sql = many.mysql(0);
                    for part in rows.chunks(super::dialect::KEYS_MAX) {
                        sum += db.execute(&sql, &[super::dialect::json(part)?])?;
                    }
                    return Ok(sum);
                }
                for size in super::dialect::chunks(rows.len()) {
                    let mut arguments = Default::default();
                    for row in &rows[from..from + size] {
                        super::mysql::add(&mut arguments, row)?;
                    }
                    sum += db.execute_with(&many.mysql(size), arguments)?;
                    from += size;
                }
                Ok(sum)
            }
        }
    }

    /// Reads what belongs to many keys: `head IN (…) tail`, in no order.
    pub(crate) fn select_in<T>(
        &self,
        head: &str,
        keys: &[i64],
        tail: &str,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        match &self.0 {
            Engine::Lite(_) if !keys.is_empty() => {
                let mut statement = self.prepare_cached(&format!("{head} IN (?) {tail}"))?;
                for key in keys {
                    let mut rows = statement.query([*key])?;
                    while let Some(row) = rows.next()? {
                        found.push(read(&row)?);
                    }
                }
            }
            Engine::Lite(_) => {}
            #[cfg(feature = "mysql")]
            Engine::My(db) => {
                for part in keys.chunks(super::dialect::KEYS_MAX) {
                    let mut padded = part.to_vec();
                    padded.resize(part.len().next_power_of_two(), part[part.len() - 1]);
                    let sql = format!("{head} IN ({}) {tail}", vec!["?"; padded.len()].join(", "));
                    let sql = super::dialect::locked(&sql, db.in_transaction());
                    for row in db.query(&sql, &padded.as_slice())? {
                        found.push(read(&Row::My(Box::new(row)))?);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Deletes what belongs to many keys: `head IN (…)`; answers how many rows went.
    pub(crate) fn delete_in(&self, head: &str, keys: &[i64]) -> Result<usize, Error> {
        match &self.0 {
            Engine::Lite(_) => {
                let mut statement = self.prepare_cached(&format!("{head} IN (?)"))?;
                keys.iter().try_fold(0, |sum, key| Ok(sum + statement.execute([*key])?))
            }
            #[cfg(feature = "mysql")]
            Engine::My(db) => {
                let mut gone = 0;
                for part in keys.chunks(super::dialect::KEYS_MAX) {
                    let mut padded = part.to_vec();
                    padded.resize(part.len().next_power_of_two(), part[part.len() - 1]);
                    let sql = format!("{head} IN ({})", vec!["?"; padded.len()].join(", "));
                    gone += db.execute(&sql, &padded.as_slice())?;
                }
                Ok(gone)
            }
        }
    }
}
