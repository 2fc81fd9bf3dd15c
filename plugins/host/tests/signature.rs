//! Signatures of packs, as `minisign` writes them.

use whimbrel_plugins::lock::verify_signature;

// Made for this test with `openssl`, over the bytes `a pack`.
const KEY: &str = "untrusted comment: a key\nRWR3aGltYnJlbNrLiMfIzbeknZVejU6TiMh/eEWribd4fP+fD4lSQsQt\n";
const OTHER_KEY: &str = "RWRjdXJsZXcwMFWq/PbP5YIwhpi+jRN+cAPiGbtLmBWuVTmSa91tYkV0";
const SIGNATURE: &str = "untrusted comment: a signature\n\
    RUR3aGltYnJlbOjcmZA/FTBcaM++yVb/dDL/sCUVHSo7TbvIT4hKdJfHCqG+5m4YbmMYgzr04wnXvU9HbeSFke/dTauj7P/rlgM=\n\
    trusted comment: a pack of rules\n\
    HzDkDFTI5kwTOtCSejO4xQaECHdOTP9w09TSigkrvn+n77TfnWa77kWklp5C3cLONGLIsDaIHG/n4onOG77zDA==\n";

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn a_signature_belongs_to_its_bytes_and_to_one_of_the_keys() {
    assert_eq!(verify_signature(b"a pack", SIGNATURE, &keys(&[KEY])), Ok(0));
    assert_eq!(verify_signature(b"a pack", SIGNATURE, &keys(&[OTHER_KEY, KEY])), Ok(1));
    assert!(verify_signature(b"a park", SIGNATURE, &keys(&[KEY])).is_err());
    assert!(verify_signature(b"a pack", SIGNATURE, &keys(&[OTHER_KEY])).is_err());
    assert!(verify_signature(b"a pack", SIGNATURE, &keys(&[])).is_err());
}

#[test]
fn what_is_no_key_or_signature_is_said() {
    assert!(verify_signature(b"a pack", "nonsense", &keys(&[KEY])).unwrap_err().contains("signature"));
    assert!(verify_signature(b"a pack", SIGNATURE, &keys(&["nonsense"])).unwrap_err().contains("key 1"));
    // The trusted comment is signed too.
    let changed = SIGNATURE.replace("a pack of rules", "another pack");
    assert!(verify_signature(b"a pack", &changed, &keys(&[KEY])).is_err());
}
