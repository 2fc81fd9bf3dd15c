//! The migration machine, driven by hand and by chance.

mod driver;
mod paths;
mod random_answers;
