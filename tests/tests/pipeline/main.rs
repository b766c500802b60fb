//! The way of a message through the whole application, told in scenarios: HTTP in, SMPP out, receipts back.

mod shares;
