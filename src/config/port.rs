//! A port, bound as configured.
//!
//! Invariant: a fleet that comes back at once finds room before the accept: the system's habit is 128 connections, above which a client's
//! first packet is dropped, and it tries again a second later, then three.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted, as configured unless it is said: as many as Linux allows (`net.core.somaxconn`).
pub(super) const BACKLOG: u32 = 4_096;

/// The most that can be configured. The system cuts it to its own bound without a word.
pub(super) const MOST_BACKLOG: u64 = 65_535;

/// Listens there, with this many connections that may wait to be accepted. Called within a runtime.
///
/// # Errors
/// The system's: the address is taken, or not ours.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait for the connections of before to be forgotten.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    /// Nobody accepts, so whoever finds no room is never answered.
    #[tokio::test]
    async fn a_fleet_finds_room_before_the_accept() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(any, BACKLOG).unwrap();
        let at = listener.local_addr().unwrap();
        let patience = Duration::from_secs(30);
        let fleet: Result<Vec<_>, _> = (0..400)
            .map(|_| TcpStream::connect_timeout(&at, patience))
            .collect();
        assert_eq!(fleet.unwrap().len(), 400);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_an_error() {
        let first = listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap();
        let again = listen(first.local_addr().unwrap(), 1);
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
