//! The guide's policy of one's own: it does what it says, and is as short as promised.

#[path = "../examples/own_policy.rs"]
mod own_policy;

#[test]
fn a_policy_with_its_test_takes_less_than_sixty_lines() {
    own_policy::main();
    assert!(include_str!("../examples/own_policy.rs").lines().count() < 60);
}
