//! `/v1/senders`: sender numbers (발신번호) and the proof that they are the account's own.

use bongsu_domain::{AccountId, Code, SenderId, Timestamp, phone};
use bongsu_store::senders::{self, IssuedCode, SenderRow, Verified};

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Registers a number, and sends it a code.
pub async fn create_sender(call: Call) -> Result<Reply, Problem> {
    let account = call.account()?;
    let (number, protected) = call.fields(|fields| {
        let protected = fields.flag("protected").unwrap_or(false);
        let text = fields.required_text("number");
        match phone::parse_sender(text) {
            Ok(number) => Some((number, protected)),
            Err(code) => {
                if !text.is_empty() {
                    fields.wrong("number", code, "is not a Korean sender number");
                }
                None
            }
        }
    })?;
    let sender = senders::register(call.app.service.store(), account, number, protected).await?;
    let sent = match issue(&call, &sender).await {
        Ok(expires) => expires,
        Err(problem) => {
            // The number is registered all the same: the code can be asked for again, or an operator approves.
            tracing::info!(code = problem.code.as_str(), "a new sender number got no code");
            None
        }
    };
    Ok(Reply::json(201, &view::Coded::new(&sender, sent)))
}

/// Sends the code again.
pub async fn send_sender_code(call: Call) -> Result<Reply, Problem> {
    let sender = find(&call).await?;
    let sent = issue(&call, &sender).await?;
    Ok(Reply::json(202, &view::Coded::new(&sender, sent)))
}

/// Makes a code and sends it as an `auth` message to the number that is to be proved. Answers until when it is valid;
/// none when the number needs no code.
async fn issue(call: &Call, sender: &SenderRow) -> Result<Option<Timestamp>, Problem> {
    let service = &call.app.service;
    if !receives_texts(sender) {
        let detail = "no text can reach this number; ask the operator to approve it on its papers";
        return Err(Problem::new(Code::FeatureNotEnabled, detail));
    }
    let now = call.app.clock.now();
    match senders::issue_code(service.store(), sender.account, sender.id).await? {
        IssuedCode::AlreadyActive => Ok(None),
        IssuedCode::Wait { until } => Err(Problem {
            retry_after: Some(until.since(now)),
            ..Problem::new(Code::RateLimited, "codes for this number were sent too often")
        }),
        IssuedCode::Sent { code, expires } => {
            service.send_code(&sender.number, &code, expires).await?;
            Ok(Some(expires))
        }
    }
}

/// Land lines and service numbers (대표번호) receive none.
fn receives_texts(sender: &SenderRow) -> bool {
    phone::parse_recipient(sender.number.national()).is_ok()
}

/// Checks the code.
pub async fn verify_sender(call: Call) -> Result<Reply, Problem> {
    let code = call.fields(|fields| Some(fields.required_text("code").to_owned()))?;
    let sender = find(&call).await?;
    let wrong = |detail: String| {
        let mut problem = Problem::at(Code::BadRequest, "code", detail);
        problem.status = http::StatusCode::UNPROCESSABLE_ENTITY;
        Err(problem)
    };
    match senders::verify(call.app.service.store(), sender.account, sender.id, &code).await? {
        Verified::Active(sender) => Ok(Reply::json(200, &view::Sender::new(&sender))),
        Verified::Wrong { left } => wrong(format!("is not the code that was sent; {left} tries are left")),
        Verified::Expired => wrong("has expired; ask for a new one".to_owned()),
        Verified::Locked => Err(Problem::at(Code::RateLimited, "code", "was wrong too often; ask for a new one")),
    }
}

/// Activates without a code.
pub async fn approve_sender(call: Call) -> Result<Reply, Problem> {
    let sender = senders::approve(call.app.service.store(), None, call.id()?).await?;
    Ok(Reply::json(200, &view::Sender::new(&sender)))
}

/// Reads one number.
pub async fn find_sender(call: Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &view::Sender::new(&find(&call).await?)))
}

/// Lists numbers.
pub async fn list_senders(mut call: Call) -> Result<Reply, Problem> {
    let account = call.account_or_all()?;
    let (limit, after) = (call.query.limit(), call.query.cursor::<SenderId>());
    call.query.close()?;
    let rows = senders::list(call.app.service.store(), account, limit, after).await?;
    let next = view::next_cursor(&rows, limit, |row| row.id);
    Ok(Reply::json(200, &view::Page { items: rows.iter().map(view::Sender::new).collect(), next_cursor: next }))
}

/// Deletes a number.
pub async fn delete_sender(call: Call) -> Result<Reply, Problem> {
    senders::delete(call.app.service.store(), call.account_or_all()?, call.id()?).await?;
    Ok(Reply::empty(204))
}

async fn find(call: &Call) -> Result<SenderRow, Problem> {
    let account: Option<AccountId> = call.account_or_all()?;
    Ok(senders::get(call.app.service.store(), account, call.id()?).await?)
}
