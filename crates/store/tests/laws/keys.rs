//! The key file: without it, or with another one, nothing can be read, so nothing opens.

use bongsu_store::Kind;

use crate::house::{House, house};

#[tokio::test]
async fn a_store_without_its_key_file_does_not_open() {
    let House { store, clock, dir, ground } = house();
    store.close();
    drop(store);
    let open = || ground.open(dir.path(), &clock, None);
    let (keys, kept) = (dir.path().join("keys"), dir.path().join("kept"));
    std::fs::rename(&keys, &kept).unwrap();
    assert_eq!(open().err().map(|e| e.kind()), Some(Kind::Corrupt));
    assert!(!keys.exists(), "no second key in silence");

    let other = house();
    std::fs::copy(other.dir.path().join("keys"), &keys).unwrap();
    assert_eq!(open().err().map(|e| e.kind()), Some(Kind::Corrupt));
    std::fs::rename(&kept, &keys).unwrap();
    open().unwrap();
}
