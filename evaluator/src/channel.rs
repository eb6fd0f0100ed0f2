//! Channel: one JSON object a packet over a Unix socket, with descriptors passed along where asked for. What judge,
//! nursery and child speak; the messages are written down at the top of `nursery.py`.
//!
//! The peer may be hostile: every wait has a limit, every packet a size.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};
use serde::Serialize;
use serde_json::Value;

/// Largest packet; a longer one is cut by the kernel and then is no JSON.
const PACKET: usize = 1 << 16;

/// Our end of a packet socket.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// Room for a packet, kept: to make it anew at every look would cost more than the look.
    packet: RefCell<Vec<u8>>,
}

/// What was there to receive.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// A packet that is JSON.
    Message(Value),
    /// A packet that is not; its beginning as text.
    Garbage(String),
    /// The other end is closed.
    Closed,
    /// Nothing yet.
    Nothing,
}

impl Channel {
    /// A new channel and the descriptor of its other end.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self { socket: ours, packet: RefCell::new(vec![0; PACKET]) }, theirs))
    }

    /// Sends `message`, and `descriptors` with it.
    pub fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let packet = serde_json::to_vec(message)?;
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&packet)], rights, flags, None)?;
        Ok(())
    }

    /// Takes the next packet if there is one; never waits.
    pub fn receive(&self) -> io::Result<Received> {
        let mut packet = self.packet.borrow_mut();
        let length = match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(Received::Closed),
            Ok(length) => length,
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(error) => return Err(error.into()),
        };
        let packet = &packet[..length];
        Ok(match serde_json::from_slice(packet) {
            Ok(message) => Received::Message(message),
            Err(_) => Received::Garbage(String::from_utf8_lossy(&packet[..length.min(200)]).into_owned()),
        })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::send;

    #[test]
    fn packets_keep_their_bounds_and_order() {
        let (channel, other) = Channel::pair().unwrap();
        assert_eq!(channel.receive().unwrap(), Received::Nothing);
        for packet in [&b"{\"a\":1}"[..], b"[2]", b"not json"] {
            send(other.as_raw_fd(), packet, MsgFlags::empty()).unwrap();
        }
        assert_eq!(channel.receive().unwrap(), Received::Message(serde_json::json!({"a": 1})));
        assert_eq!(channel.receive().unwrap(), Received::Message(serde_json::json!([2])));
        assert_eq!(channel.receive().unwrap(), Received::Garbage("not json".to_owned()));
        drop(other);
        assert_eq!(channel.receive().unwrap(), Received::Closed);
    }

    #[test]
    fn sending_to_a_closed_end_is_an_error_and_no_signal() {
        let (channel, other) = Channel::pair().unwrap();
        drop(other);
        assert!(channel.send(&serde_json::json!({}), &[]).is_err());
    }
}
