//! The migration machine, driven by hand and by chance.

#[cfg(test)]
mod driver;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod random_answers;
