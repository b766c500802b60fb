//! The send room.
