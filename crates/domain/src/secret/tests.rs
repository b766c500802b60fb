//! Tests of the texts that hide themselves.

use super::*;

#[test]
fn secrets_and_bodies_are_shown_only_on_purpose() {
    let (secret, body) = (Secret::new("hunter2"), Body::from("안녕".to_owned()));
    assert_eq!(format!("{secret:?} {body:?}"), "Secret(***) Body(***)");
    assert_eq!((secret.expose(), body.expose()), ("hunter2", "안녕"));
    assert_eq!(body.into_inner(), "안녕");
}
