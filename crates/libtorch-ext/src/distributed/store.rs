//! The table of keys and values through which processes find each other.

use super::{c_text, milliseconds};
use crate::ffi::{self, check};
use crate::{Error, Result};
use std::ffi::c_void;
use std::ptr;
use std::time::Duration;

/// A table of keys and values that lives in one process and is seen by all (c10d's `TCPStore` under a `PrefixStore`).
///
/// Small things only: addresses, names, flags. Tensors go through a [`ProcessGroup`](super::ProcessGroup). Dropping the
/// store closes its connection; the table ends with the process that serves it, once that one has dropped its store and
/// every group made of it.
///
/// # Example
/// ```
/// use libtorch_ext::distributed::Store;
/// use std::time::Duration;
/// let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
/// let store = Store::connect("127.0.0.1", port, true, "run", Duration::from_secs(10))?;
/// store.set("color", b"green")?;
/// assert_eq!(store.get("color")?, b"green");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Store {
    handle: *mut c_void,
}

impl Store {
    /// Connects to the store at `host:port`, and serves it first if `serve`; exactly one process does.
    ///
    /// Keys live under `prefix`, so that several runs can use one server. `timeout` bounds the connection and every
    /// later [`Store::get`].
    ///
    /// # Errors
    /// [`Error::NoDistributed`] if libtorch lacks c10d, [`Error::Torch`] if there is no connection in time or the port is
    /// taken.
    pub fn connect(
        host: &str,
        port: u16,
        serve: bool,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Self> {
        const NAME: &str = "Store::connect";
        if !cfg!(c10d) {
            return Err(Error::NoDistributed);
        }
        let (host, prefix) = (c_text(NAME, host)?, c_text(NAME, prefix)?);
        let mut handle = ptr::null_mut();
        // SAFETY: zero-terminated texts that outlive the call, and a valid place for the handle.
        let message = unsafe {
            ffi::fewstep_store_connect(
                host.as_ptr(),
                port,
                serve,
                prefix.as_ptr(),
                milliseconds(timeout),
                &raw mut handle,
            )
        };
        check(NAME, message)?;
        Ok(Self { handle })
    }

    /// Stores a value, for every process to see.
    ///
    /// # Errors
    /// [`Error::Torch`] if the serving process is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        const NAME: &str = "Store::set";
        let key = c_text(NAME, key)?;
        // SAFETY: the handle is alive, and key and value outlive the call that copies them.
        let message = unsafe {
            ffi::fewstep_store_set(self.handle, key.as_ptr(), value.as_ptr(), value.len())
        };
        check(NAME, message)
    }

    /// The value of a key; waits until some process stores it.
    ///
    /// # Errors
    /// [`Error::Torch`] if nobody does within the time-out, or the serving process is gone.
    pub fn get(&self, key: &str) -> Result<Vec<u8>> {
        const NAME: &str = "Store::get";
        let key = c_text(NAME, key)?;
        let (mut value, mut length) = (ptr::null_mut(), 0);
        // SAFETY: the handle is alive, the key outlives the call, and both places are valid.
        let message = unsafe {
            ffi::fewstep_store_get(self.handle, key.as_ptr(), &raw mut value, &raw mut length)
        };
        check(NAME, message)?;
        // SAFETY: on success `value` points to `length` bytes from malloc that the shim hands over; they are copied
        // before they are freed, once.
        Ok(unsafe {
            let copy = std::slice::from_raw_parts(value, length).to_vec();
            libc::free(value.cast());
            copy
        })
    }

    /// The C++ store, valid while `self` is borrowed.
    pub(super) fn as_ptr(&self) -> *const c_void {
        self.handle
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: the handle came from `fewstep_store_connect` and is freed once; groups keep a share of their own.
        unsafe { ffi::fewstep_store_free(self.handle) }
    }
}

#[cfg(all(test, c10d))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn connect(port: u16, serve: bool, prefix: &str) -> Result<Store> {
        Store::connect("127.0.0.1", port, serve, prefix, Duration::from_millis(300))
    }

    #[test]
    fn values_are_seen_by_others_under_the_same_prefix() {
        let port = free_port();
        let server = connect(port, true, "a").unwrap();
        let (same, other) =
            (connect(port, false, "a").unwrap(), connect(port, false, "b").unwrap());
        server.set("key", &[0, 255, 7]).unwrap();
        server.set("empty", &[]).unwrap();
        assert_eq!(same.get("key").unwrap(), [0, 255, 7]);
        assert!(same.get("empty").unwrap().is_empty());
        assert!(matches!(other.get("key"), Err(Error::Torch { operation: "Store::get", .. })));
    }

    #[test]
    fn a_name_with_a_zero_byte_is_refused() {
        let store = connect(free_port(), true, "a").unwrap();
        assert!(store.set("a\0b", &[]).unwrap_err().to_string().contains("zero byte"));
    }

    #[test]
    fn a_store_that_nobody_serves_is_an_error() {
        assert!(matches!(connect(free_port(), false, "a"), Err(Error::Torch { .. })));
    }
}

#[cfg(all(test, not(c10d)))]
mod tests {
    use super::*;

    #[test]
    fn a_libtorch_without_c10d_says_so() {
        let refused = Store::connect("127.0.0.1", 1, true, "a", Duration::from_secs(1));
        assert!(matches!(refused, Err(Error::NoDistributed)));
    }
}
