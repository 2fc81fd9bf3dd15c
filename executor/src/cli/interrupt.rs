//! Ctrl-C during a migration: the first cancels, the second detaches. A hang-up of the terminal detaches immediately: a lost
//! terminal is no request to cancel.

use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use whimbrel_core::Request;

use super::CliError;
use whimbrel_drive::Message;

/// Turns signals into messages for as long as the process lives.
pub(super) fn listen(inbox: Sender<Message>) -> Result<(), CliError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(CliError::Signals)?;
    thread::spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            let leave = asked || signal == SIGHUP;
            let message = if leave { Message::Leave } else { Message::Request(Request::Cancel) };
            asked = true;
            if inbox.send(message).is_err() {
                break;
            }
        }
    });
    Ok(())
}
