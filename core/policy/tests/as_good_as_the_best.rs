//! The guide's policy of one's own: it does what it says, and is as short as promised.

#[path = "../examples/as_good_as_the_best.rs"]
mod as_good_as_the_best;

#[test]
fn a_policy_with_its_test_takes_less_than_sixty_lines() {
    as_good_as_the_best::main();
    assert!(include_str!("../examples/as_good_as_the_best.rs").lines().count() < 60);
}
