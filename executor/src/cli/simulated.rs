//! The simulated hosts (`sim://`) of the arguments, and `whimbrel sim-server`, which runs them for other processes.

use std::fs;
use std::path::PathBuf;

use whimbrel_sim::Scenario;
use whimbrel_sim::world::World;

use super::args::{SimServer, Simulated};
use super::{CliError, Exit};
use whimbrel_drive::hosts::HostsError;
use whimbrel_simulated::{SimulatedHosts, built_in_world, scenario_world};

/// The simulated hosts of these arguments: of another process, or started in this one.
pub(super) fn connect(arguments: &Simulated) -> Result<SimulatedHosts, CliError> {
    let Some(socket) = &arguments.sim_server else {
        let speed = arguments.sim_speed.unwrap_or(1);
        let mut world = world(arguments)?;
        world.set_versions(arguments.sim_libvirt, arguments.sim_qemu);
        return SimulatedHosts::start(world, speed).map_err(CliError::World);
    };
    let hosts = SimulatedHosts::at(socket.clone());
    if let Some(speed) = arguments.sim_speed {
        hosts.set_speed(speed).map_err(HostsError::World)?;
    }
    Ok(hosts)
}

pub(super) fn serve(arguments: &SimServer) -> Result<Exit, CliError> {
    let hosts = connect(&arguments.simulated)?;
    whimbrel_simulated::serve(&hosts, &arguments.socket)
        .map_err(|source| CliError::Socket { path: arguments.socket.clone(), source })?;
    Ok(Exit::Done)
}

fn world(arguments: &Simulated) -> Result<World, CliError> {
    let Some(name) = &arguments.sim_scenario else {
        return Ok(built_in_world(arguments.sim_seed, arguments.sim_guests));
    };
    let (text, file) = if let Some(text) = Scenario::built_in_text(name) {
        (text.to_owned(), format!("{name}.toml"))
    } else {
        let path = PathBuf::from(name);
        let text = fs::read_to_string(&path).map_err(|source| CliError::Unreadable { path, source })?;
        (text, name.clone())
    };
    let scenario =
        Scenario::parse(&text, &file).map_err(|error| CliError::Scenario { error, text: text.clone() })?;
    Ok(scenario_world(&scenario))
}
