//! Makes a component of a core module.
fn main() {
    let a: Vec<String> = std::env::args().collect();
    std::fs::write(&a[2], whimbrel_plugins::build::component(&std::fs::read(&a[1]).unwrap()).unwrap())
        .unwrap();
}
