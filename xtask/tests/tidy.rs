//! The project keeps its own rules.

use xtask::{Tree, tidy};

#[test]
fn the_project_is_tidy() {
    let tree = Tree::read(&Tree::root().unwrap()).unwrap();
    assert!(tree.texts().count() > 100, "the files were found");
    let complaints: Vec<String> = tidy::complaints(&tree).iter().map(ToString::to_string).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
