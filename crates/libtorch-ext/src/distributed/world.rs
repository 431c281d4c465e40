//! All processes of a run.

use super::process_group::Address;
use super::{Environment, ProcessGroup, Store};
use crate::{Error, Result};
use std::net::UdpSocket;
use std::rc::Rc;
use tch::Tensor;

/// All processes of a run: which one this is, and how it agrees with the others.
///
/// In a world of one, every collective is the identity and costs nothing, so a program is written once for both.
/// Clones share the connection; it closes with the last of them.
///
/// # Example
/// ```
/// use libtorch_ext::distributed::World;
/// let world = World::alone(); // a program calls `World::from_env()?`
/// let gradient = tch::Tensor::from_slice(&[1f32, 2.0]);
/// world.all_reduce_mean(&gradient)?;
/// assert_eq!(gradient, tch::Tensor::from_slice(&[1f32, 2.0]));
/// assert!(world.is_first());
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct World {
    rank: usize,
    size: usize,
    local_rank: usize,
    group: Option<Rc<ProcessGroup>>,
}

impl World {
    /// A world of this process alone.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, local_rank: 0, group: None }
    }

    /// The world that the environment describes ([`Environment`] lists the variables), or of one without them.
    ///
    /// Waits until all processes are connected.
    ///
    /// # Errors
    /// [`Error::Environment`] for a bad variable; otherwise as [`World::connect`].
    pub fn from_env() -> Result<Self> {
        Environment::read()?.map_or_else(|| Ok(Self::alone()), |found| Self::connect(&found))
    }

    /// Connects the processes that `environment` describes.
    ///
    /// Listens on the interface that `GLOO_SOCKET_IFNAME` names, as PyTorch does, otherwise at the address from which
    /// this machine reaches the store.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] if they do not find each other in time, [`Error::NoDistributed`] if libtorch lacks c10d.
    pub fn connect(environment: &Environment) -> Result<Self> {
        let Environment { rank, size, local_rank, ref host, port, timeout, .. } = *environment;
        let failed = |error: Error| match error {
            Error::Torch { message, .. } => Error::Rendezvous {
                rank,
                size,
                host: host.clone(),
                port,
                timeout_s: timeout.as_secs_f64(),
                message,
            },
            other => other,
        };
        let (serve, prefix) = (environment.serves(), environment.prefix());
        let store = Store::connect(host, port, serve, &prefix, timeout).map_err(failed)?;
        let group = ProcessGroup::join(&store, rank, size, &listening(host, port), timeout);
        Ok(Self { rank, size, local_rank, group: Some(Rc::new(group.map_err(failed)?)) })
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The number of this process among those of its machine: its CUDA device.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Whether this process is the one that writes files and reports.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Replaces `tensor` by the sum over all processes, the same bits in each.
    ///
    /// # Errors
    /// [`Error::Collective`] if a process has ended or does not answer in time.
    pub fn all_reduce_sum(&self, tensor: &Tensor) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.all_reduce_sum(tensor))
    }

    /// Replaces `tensor`, of a floating-point kind, by the mean over all processes, the same bits in each.
    ///
    /// # Errors
    /// As [`World::all_reduce_sum`].
    pub fn all_reduce_mean(&self, tensor: &Tensor) -> Result<()> {
        let Some(group) = &self.group else { return Ok(()) };
        group.all_reduce_sum(tensor)?;
        let _guard = tch::no_grad_guard();
        let _ = tensor.detach().g_div_scalar_(self.size as f64);
        Ok(())
    }

    /// Replaces `tensor` by that of process 0.
    ///
    /// # Errors
    /// As [`World::all_reduce_sum`].
    pub fn broadcast(&self, tensor: &Tensor) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.broadcast(tensor, 0))
    }

    /// The tensors of all processes by rank, on the host.
    ///
    /// # Errors
    /// As [`World::all_reduce_sum`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>> {
        let alone = || Ok(vec![tensor.detach().to_device(tch::Device::Cpu).copy()]);
        self.group.as_ref().map_or_else(alone, |group| group.all_gather(tensor))
    }

    /// Waits until all processes are here.
    ///
    /// # Errors
    /// As [`World::all_reduce_sum`].
    pub fn barrier(&self) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.barrier())
    }
}

/// Where this machine is reached by the others.
fn listening(host: &str, port: u16) -> Address {
    match std::env::var("GLOO_SOCKET_IFNAME") {
        Ok(name) if !name.is_empty() => Address::Interface(name),
        _ => Address::Host(own_address(host, port).unwrap_or_else(|| "127.0.0.1".to_owned())),
    }
}

/// The address of this machine on the way to `host`. Connecting a UDP socket sends nothing; it only picks the way.
fn own_address(host: &str, port: u16) -> Option<String> {
    ["0.0.0.0:0", "[::]:0"].iter().find_map(|any| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect((host, port)).ok()?;
        Some(socket.local_addr().ok()?.ip().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_this_machine_is_the_loopback() {
        assert_eq!(own_address("127.0.0.1", 9).as_deref(), Some("127.0.0.1"));
        assert_eq!(own_address("no such host", 9), None);
    }

    #[test]
    fn a_world_of_one_changes_nothing() {
        let (world, value) = (World::alone(), Tensor::from_slice(&[3i64, 4]));
        world.all_reduce_sum(&value).unwrap();
        world.broadcast(&value).unwrap();
        world.barrier().unwrap();
        assert_eq!(world.all_gather(&value).unwrap(), [Tensor::from_slice(&[3i64, 4])]);
        assert_eq!((world.rank(), world.size(), world.local_rank()), (0, 1, 0));
    }
}
