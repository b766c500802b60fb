//! Query parameters: unknown ones are refused, because a misspelt filter must not list everything.

use bongsu_domain::{Code, Timestamp};
use bongsu_send::Finding;
use http::{StatusCode, Uri};

use crate::problem::{Problem, shared_code};

/// Most rows of one page.
pub const LIMIT_MAX: u32 = 500;
/// Rows of a page that names no limit.
pub const LIMIT_DEFAULT: u32 = 100;

/// The parameters of one request. What is wrong with them is told by [`Query::close`].
#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    found: Vec<Finding>,
}

impl Query {
    /// Reads the query of a route that knows these names.
    ///
    /// # Errors
    /// 400 with every parameter that is unknown or given twice.
    pub fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Self::default());
        }
        let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::at(Code::BadRequest, "query", "is not a list of name=value pairs"))?;
        let mut query = Self { pairs, found: Vec::new() };
        for index in 0..query.pairs.len().min(known.len() + 20) {
            let name = query.pairs[index].0.clone();
            if !known.contains(&name.as_str()) {
                query.wrong(&name, "is not a parameter of this route");
            } else if query.pairs[..index].iter().any(|(earlier, _)| *earlier == name) {
                query.wrong(&name, "is given twice");
            }
        }
        query.close()?;
        Ok(query)
    }

    /// A parameter, unless it is absent or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A parameter in a form of its own; `wanted` completes "must be".
    pub fn parsed<T>(&mut self, name: &str, wanted: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = parse(self.text(name)?);
        if value.is_none() {
            self.wrong(name, &format!("must be {wanted}"));
        }
        value
    }

    /// A time. A `+` that was not escaped arrives as a space.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.parsed(name, "a time such as 2026-11-20T09:00:00+09:00", |text| {
            Timestamp::parse_rfc3339(&text.replace(' ', "+"))
        })
    }

    /// Rows a page.
    pub fn limit(&mut self) -> u32 {
        let wanted = format!("from 1 to {LIMIT_MAX}");
        let limit = self.parsed("limit", &wanted, |text| text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)));
        limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// Where the last page ended, as an id or number.
    pub fn cursor<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.parsed("cursor", "a nextCursor of this list", |text| text.parse().ok())
    }

    /// Reports something about a parameter.
    pub fn wrong(&mut self, name: &str, detail: &str) {
        self.found.push(Finding::new(name, Code::BadRequest, detail));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with all that was found.
    pub fn close(&mut self) -> Result<(), Problem> {
        if self.found.is_empty() {
            return Ok(());
        }
        let findings = std::mem::take(&mut self.found);
        let mut problem = Problem::fields(findings);
        problem.code = shared_code(&problem.errors);
        problem.status = StatusCode::BAD_REQUEST;
        Err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Query, Problem> {
        let uri: Uri = format!("/v1/x?{text}").parse().expect("a path");
        Query::read(&uri, &["limit", "cursor", "since", "status"])
    }

    #[test]
    fn refuses_what_it_does_not_know_all_at_once() {
        let problem = read("limt=5&status=a&status=b").expect_err("two findings");
        let fields: Vec<_> = problem.errors.iter().map(|finding| finding.field.as_str()).collect();
        assert_eq!((problem.status.as_u16(), fields), (400, vec!["limt", "status"]));
    }

    #[test]
    fn limits_and_times_are_checked() {
        let mut query = read("limit=0&since=yesterday").expect("known names");
        assert_eq!((query.limit(), query.time("since")), (LIMIT_DEFAULT, None));
        assert_eq!(query.close().expect_err("both").errors.len(), 2);
        let mut query = read("limit=500&since=2026-11-20T09:00:00+09:00").expect("known names");
        assert_eq!(query.limit(), 500);
        assert!(query.time("since").is_some(), "an unescaped plus is understood");
        query.close().expect("nothing is wrong");
    }
}
