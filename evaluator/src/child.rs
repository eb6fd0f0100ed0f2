//! Child: the process of one candidate, from its fork to its end.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::{Evidence, Rejection};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Call, PlanCall, Returned, failure, protocol, shortened};
use crate::captured::Captured;
use crate::channel::Received;
use crate::error::{Halt, JudgeError};
use crate::message::Message;
use crate::nursery::{Forked, Nursery, NurseryError};
use crate::plan::Plan;
use crate::process;
use crate::shared::{Outputs, SharedMemory};
use crate::timing::Clock;

/// How often the judge checks memory, threads and output of a running child.
const CHECK_EVERY_MS: u8 = 10;
/// Creating a GPU context takes a second or two, and tens of seconds on a machine with many GPUs.
const PREPARE_LIMIT: Duration = Duration::from_secs(120);
/// How long a child that closed its channel may take to exit, so that its own status is recorded and not our kill.
const EXIT_GRACE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Child {
    forked: Forked,
    clock: Clock,
    on_cpu: bool,
    /// The clock at the end of the previous call.
    done_at: Duration,
    /// The number of threads that torch uses in the child; until it is prepared, the number that is wanted.
    pub torch_threads: u32,
    fresh_memory: u64,
    /// Largest memory seen above that of the fresh child, bytes.
    pub peak_memory: u64,
    peak_threads: u32,
    output: Captured,
    pub limits: Limits,
    /// Whether it runs the judge's own program, whose usage needs no check after each call.
    pub is_trusted: bool,
}

impl Child {
    /// Forks a child for `program`, with `bytes` of memory for its calls.
    pub fn fork(
        nursery: &mut Nursery,
        program: &str,
        bytes: u64,
        limits: &Limits,
        device: &str,
    ) -> Result<Self, NurseryError> {
        let on_cpu = device == "cpu";
        let forked = nursery.fork(program, bytes, limits, on_cpu)?;
        fcntl(&forked.output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        let clock = if on_cpu { Clock::cpu(forked.pid)? } else { Clock::Wall(Instant::now()) };
        Ok(Self {
            clock,
            on_cpu,
            done_at: Duration::ZERO,
            torch_threads: 1,
            fresh_memory: process::usage(forked.pid).memory,
            peak_memory: 0,
            peak_threads: 0,
            output: Captured::default(),
            limits: limits.clone(),
            is_trusted: false,
            forked,
        })
    }

    /// Prepares `device` before the program arrives: creates the context of a GPU. Returns how long that took.
    pub fn prepare(&mut self, device: &str) -> Result<Duration, JudgeError> {
        let started = Instant::now();
        let (memory_bytes, threads) = (self.limits.memory_bytes, self.torch_threads);
        self.send(&json!({"op": "prepare", "device": device, "memory_bytes": memory_bytes, "threads": threads}));
        let unprepared = match self.receive(PREPARE_LIMIT) {
            Ok(Message::Prepared { threads }) => {
                self.torch_threads = threads;
                // The context of a GPU does not count as memory of the program.
                self.fresh_memory = self.fresh_memory.max(process::usage(self.forked.pid).memory);
                return Ok(started.elapsed());
            }
            Ok(other) => format!("unexpected reply {other:?}"),
            Err(Halt::Rejected { rejection, .. }) => format!("it {rejection}"),
            Err(Halt::Broken(error)) => return Err(error),
        };
        self.output.drain(&mut self.forked.output);
        Err(NurseryError::Unprepared(format!("{unprepared}: {}", self.output.text())).into())
    }

    /// Loads the program under the name `file`: from its compiled `code` if there is any. Otherwise the child compiles
    /// the program, and `code` receives the result unless it is too long.
    pub fn load(&mut self, file: &str, code: &mut Option<String>) -> Result<(), Halt> {
        self.send(&json!({"op": "load", "file": file, "code": code}));
        let limit = self.limit(self.limits.load_seconds);
        let mut reply = self.receive(limit)?;
        // The child sends this before any code of the program runs, so the program cannot have forged it.
        if code.is_none()
            && let Message::Compiled { code: compiled } = reply
        {
            *code = compiled;
            reply = self.receive(limit)?;
        }
        self.done_at = self.clock.now()?;
        self.check_after_reply()?;
        match reply {
            Message::Loaded {} => Ok(()),
            other => Err(failure(other, self.out_of_memory(), |message| Rejection::Load { message })),
        }
    }

    pub fn call(&mut self, call: Call, weights: &[f32]) -> Result<Returned, Halt> {
        let layout = call.layout();
        let write = |memory: &SharedMemory| memory.write_input(weights).and_then(|()| memory.blank_outputs(&layout));
        let exchanged = self.exchange(write, &call.packet(), |memory, _| memory.copy(&layout));
        self.returned(exchanged?)
    }

    /// Makes a call and ignores its outputs.
    pub fn call_unread(&mut self, call: Call, weights: &[f32]) -> Result<Returned<()>, Halt> {
        let exchanged = self.exchange(|memory| memory.write_input(weights), &call.packet(), |_, _| Ok(()));
        self.returned(exchanged?)
    }

    fn returned<T>(&self, (returned, reply): (Returned<T>, Message)) -> Result<Returned<T>, Halt> {
        match reply {
            Message::Returned { device_seconds: reported_seconds, columns: None } => {
                Ok(Returned { reported_seconds, ..returned })
            }
            other => Err(self.failed_call(other)),
        }
    }

    /// Calls `rebalance_experts`; `None` if the program does not define it.
    pub fn plan(&mut self, call: PlanCall<'_>, loads: &[f32]) -> Result<Option<Returned<Outputs<3>>>, Halt> {
        let most = Plan::most_columns(call.topology);
        self.forked.memory.blank_outputs(&call.layout(most))?;
        let columns = |reply: &Message| match reply {
            Message::Returned { columns: Some(columns), .. } => (*columns).clamp(1, most),
            _ => 1,
        };
        let (returned, reply) = self.exchange(
            |memory| memory.write_input(loads),
            call.request().to_string().as_bytes(),
            |memory, reply| memory.copy(&call.layout(columns(reply))),
        )?;
        match reply {
            Message::Returned { device_seconds: None, columns: Some(columns) } if (1..=most).contains(&columns) => {
                Ok(Some(returned))
            }
            Message::Absent {} => Ok(None),
            other => Err(self.failed_call(other)),
        }
    }

    /// Sends a request and receives its reply. The clocks start before the first byte of input is written, and stop when
    /// the judge holds its own copy of the outputs.
    fn exchange<T>(
        &mut self,
        write: impl FnOnce(&SharedMemory) -> io::Result<()>,
        packet: &[u8],
        copy: impl FnOnce(&SharedMemory, &Message) -> io::Result<T>,
    ) -> Result<(Returned<T>, Message), Halt> {
        self.check_silence()?;
        let started = Instant::now();
        let before = if self.on_cpu { self.done_at } else { self.clock.now()? };
        write(&self.forked.memory)?;
        let _ = self.forked.channel.send_packet(packet, &[]);
        let reply = self.receive(self.limit(self.limits.times(None).call_seconds))?;
        let outputs = copy(&self.forked.memory, &reply)?;
        self.done_at = self.clock.now()?;
        let (time, wall) = (self.done_at.saturating_sub(before), started.elapsed());
        self.check_after_reply()?;
        Ok((Returned { outputs, time, wall, reported_seconds: None }, reply))
    }

    /// Forbids a warm child to start more processes, and kills those that it started.
    pub fn seal(&mut self, nursery: &mut Nursery) -> Result<(), Halt> {
        if !self.forked.may_start {
            return Ok(());
        }
        let is_alone = nursery.seal(&self.forked)?;
        self.forked.may_start = false;
        if is_alone {
            return Ok(());
        }
        Err(Rejection::Threads { used: self.peak_threads, limit: self.limits.threads }.into())
    }

    /// Whether the child may still run compilers.
    pub fn may_compile(&self) -> bool {
        self.forked.may_start
    }

    fn limit(&self, seconds: f64) -> Duration {
        let seconds = if self.forked.may_start { seconds.max(self.limits.compile_seconds) } else { seconds };
        Duration::from_secs_f64(seconds)
    }

    /// Stops the child while another program is timed.
    pub fn pause(&self) -> Result<(), Rejection> {
        process::signal_group(self.forked.pid, Signal::SIGSTOP);
        match process::running_after_stop(self.forked.pid) {
            0 => Ok(()),
            running => Err(Rejection::Unstoppable { running: u32::try_from(running).unwrap_or(u32::MAX) }),
        }
    }

    pub fn unpause(&self) {
        process::signal_group(self.forked.pid, Signal::SIGCONT);
    }

    /// Ends the child and everything that it left behind. Returns its status, and the evidence, to which `during` and
    /// `traceback` are added.
    pub fn end(
        mut self,
        nursery: &mut Nursery,
        during: &str,
        traceback: String,
    ) -> Result<(String, Evidence), NurseryError> {
        let status = nursery.end(&self.forked)?;
        self.output.drain(&mut self.forked.output);
        Ok((status, Evidence { during: during.to_owned(), traceback, output: self.output.text() }))
    }

    /// Ignores errors: waiting for the reply shows whether the child exited or does not read.
    fn send(&self, message: &Value) {
        let _ = self.forked.channel.send(message, &[]);
    }

    /// Waits for a reply, and checks memory, threads and output meanwhile.
    fn receive(&mut self, limit: Duration) -> Result<Message, Halt> {
        let started = Instant::now();
        loop {
            match self.forked.channel.receive()? {
                Received::Message(message) => {
                    return Message::deserialize(&message)
                        .map_err(|_| protocol(format!("unknown reply {}", shortened(&message.to_string()))));
                }
                Received::Garbage(text) => return Err(protocol(format!("a reply that is not JSON: {text}"))),
                Received::Closed => return Err(self.exited()),
                Received::Nothing => {}
            }
            let mut descriptors = [
                PollFd::new(self.forked.channel.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.forked.output.as_fd(), PollFlags::POLLIN),
            ];
            // Polling a closed pipe would return at once, for ever.
            let watched = if self.output.is_closed { 1 } else { 2 };
            let _ = poll(&mut descriptors[..watched], PollTimeout::from(CHECK_EVERY_MS));
            // A reply comes first: checking takes longer than many calls.
            if !descriptors[0].any().unwrap_or(false) {
                self.check_limits(started.elapsed(), limit)?;
            }
        }
    }

    /// Checks what a short call could hide from the checks that are made while the judge waits.
    fn check_after_reply(&mut self) -> Result<(), Rejection> {
        if self.is_trusted { Ok(()) } else { self.check_limits(Duration::ZERO, Duration::MAX) }
    }

    fn check_limits(&mut self, elapsed: Duration, limit: Duration) -> Result<(), Rejection> {
        self.output.drain(&mut self.forked.output);
        self.check_usage();
        let Limits { output_bytes, memory_bytes, threads, .. } = self.limits;
        if self.output.bytes > output_bytes {
            return Err(Rejection::Output { limit_bytes: output_bytes });
        }
        if self.peak_memory > memory_bytes {
            return Err(self.out_of_memory());
        }
        if self.peak_threads > threads {
            return Err(Rejection::Threads { used: self.peak_threads, limit: threads });
        }
        if elapsed > limit {
            return Err(Rejection::Hang { limit_seconds: limit.as_secs_f64() });
        }
        Ok(())
    }

    fn check_usage(&mut self) {
        let usage = if self.forked.may_start { process::usage_with_descendants } else { process::usage };
        let usage = usage(self.forked.pid);
        self.peak_memory = self.peak_memory.max(usage.memory.saturating_sub(self.fresh_memory));
        self.peak_threads = self.peak_threads.max(usage.threads);
    }

    /// Checks that the child sent nothing that the judge did not ask for.
    fn check_silence(&self) -> Result<(), Halt> {
        match self.forked.channel.receive()? {
            Received::Nothing => Ok(()),
            Received::Closed => Err(self.exited()),
            Received::Message(message) => Err(protocol(format!("an unrequested message: {message}"))),
            Received::Garbage(text) => Err(protocol(format!("an unrequested message: {text}"))),
        }
    }

    /// The child closed its channel, so it exits or is killed soon. The end of the evaluation fills in its status.
    fn exited(&self) -> Halt {
        let until = Instant::now() + EXIT_GRACE;
        while !process::has_ended(self.forked.pid) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        Rejection::Crash { status: String::new() }.into()
    }

    fn failed_call(&self, reply: Message) -> Halt {
        failure(reply, self.out_of_memory(), |message| Rejection::Exception { message })
    }

    fn out_of_memory(&self) -> Rejection {
        Rejection::Memory { used_bytes: self.peak_memory, limit_bytes: self.limits.memory_bytes }
    }
}
