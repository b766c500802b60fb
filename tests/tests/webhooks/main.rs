//! Customers are told what became of their messages: calls, what follows each answer, and where they may not go.

mod calls;
mod guard;
mod house;
mod peers;
mod retries;
