//! `/v1/accounts/{id}/team-numbers`: the numbers that keys of the kind team may send to.

use std::collections::HashSet;

use bongsu_domain::{AccountId, Code, PhoneNumber, phone};
use bongsu_send::Scope;
use bongsu_store::team::{self, TEAM_MAX, TeamNumber};

use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Lists the numbers.
pub async fn list_team_numbers(call: Call) -> Result<Reply, Problem> {
    let rows = team::list(call.app.service.store(), account(&call)?).await?;
    show(&call, &rows)
}

/// Replaces the numbers.
pub async fn update_team_numbers(call: Call) -> Result<Reply, Problem> {
    let numbers = call.fields(numbers)?;
    let rows = team::put(call.app.service.store(), account(&call)?, numbers).await?;
    show(&call, &rows)
}

fn numbers(fields: &mut Fields<'_, '_, '_>) -> Option<Vec<PhoneNumber>> {
    let Some(texts) = fields.texts("numbers") else {
        fields.wrong("numbers", Code::BadRequest, "is required");
        return None;
    };
    if texts.len() > TEAM_MAX {
        fields.wrong("numbers", Code::BadRequest, format!("must have at most {TEAM_MAX} numbers"));
        return None;
    }
    let mut numbers = HashSet::new();
    for (index, text) in texts.iter().enumerate() {
        match phone::parse_recipient(text) {
            Ok(number) if number.is_for_tests() => {
                fields.wrong(&format!("numbers.{index}"), Code::RecipientNotForKey, "is a test number");
            }
            Ok(number) => {
                numbers.insert(number);
            }
            Err(code) => fields.wrong(&format!("numbers.{index}"), code, "must be a Korean mobile number"),
        }
    }
    Some(numbers.into_iter().collect())
}

/// The account of the path: the caller's own, or any for an operator.
fn account(call: &Call) -> Result<AccountId, Problem> {
    let asked: AccountId = call.id()?;
    match call.caller()?.scope {
        Scope::Account(own) if own != asked => Err(Problem::not_found()),
        _ => Ok(asked),
    }
}

fn show(call: &Call, rows: &[TeamNumber]) -> Result<Reply, Problem> {
    let in_full = call.sees_numbers()?;
    let items = rows.iter().map(|row| view::TeamNumber::new(row, in_full)).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: None }))
}
