//! The migration machine, driven by hand and by chance.

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod diagram;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod postcopy;
#[cfg(test)]
mod pump;
#[cfg(test)]
mod random_answers;
#[cfg(test)]
mod reactions;
#[cfg(test)]
mod takeover;
