//! A tap between a service and its simulated world: what the hypervisors say, with the time of day at which they said it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// When each observation of a guest's migration was made, in µs since 1970, in their order.
pub(crate) type Said = Arc<Mutex<HashMap<String, Vec<u64>>>>;

/// Listens at a new socket, and passes everything on to and from the world's own.
pub(crate) fn tap(world: PathBuf, at: &Path) -> Said {
    let said = Said::default();
    let listener = UnixListener::bind(at).unwrap();
    let kept = Arc::clone(&said);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(client), world, said) = (stream, world.clone(), Arc::clone(&kept)) else { return };
            // A client that is killed breaks off; the lines that it received stay.
            thread::spawn(move || pass(&client, &world, &said).ok());
        }
    });
    said
}

fn pass(client: &UnixStream, world: &Path, said: &Said) -> std::io::Result<()> {
    let mut to_world = UnixStream::connect(world)?;
    let from_world = to_world.try_clone()?;
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut question = String::new();
    from_client.read_line(&mut question)?;
    to_world.write_all(question.as_bytes())?;
    let asked: Value = serde_json::from_str(&question)?;
    let guest = asked["port"]["guest"].as_str().map(str::to_owned);
    let commands = thread::spawn(move || {
        let passed = std::io::copy(&mut from_client, &mut to_world);
        let _ = to_world.shutdown(Shutdown::Both);
        passed
    });
    let mut to_client = client.try_clone()?;
    for line in BufReader::new(from_world).lines() {
        let line = line?;
        if let Some(guest) = &guest
            && line.starts_with("{\"observed\"")
        {
            said.lock().unwrap().entry(guest.clone()).or_default().push(now_us());
        }
        writeln!(to_client, "{line}")?;
    }
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = commands.join();
    Ok(())
}

/// µs since 1970.
pub(crate) fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
