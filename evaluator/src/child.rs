//! Child: the process of one candidate, from its fork to its end.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use packevolve_contract::maps::Maps;
use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::{Evidence, Rejection};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Call, PlanCall, PlanInput, Returned, failure, protocol, shortened};
use crate::captured::Captured;
use crate::channel::Received;
use crate::error::{Halt, JudgeError};
use crate::kernels::Kernels;
use crate::message::Message;
use crate::nursery::{Forked, Nursery, NurseryError};
use crate::process;
use crate::shared::{Outputs, SharedMemory};
use crate::timing::Clock;
use crate::waited::Waited;

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
    /// The threads of the driver of a GPU.
    fresh_threads: u32,
    /// Largest memory seen above that of the fresh child, bytes.
    pub peak_memory: u64,
    /// Memory of the GPU that its calls have taken, and not given back, bytes.
    pub gpu_memory: i64,
    peak_threads: u32,
    output: Captured,
    pub limits: Limits,
    /// Whether it runs the judge's own program, whose usage needs no check after each call.
    pub is_trusted: bool,
    /// Whether the nursery has reaped it: its pid may be another process's by now.
    has_ended: bool,
    /// Whether it may compile functions in its own process until it is warm.
    compiles: bool,
}

/// However work on a candidate stops, its process ends.
impl Drop for Child {
    fn drop(&mut self) {
        if !self.has_ended {
            process::signal_group(self.forked.pid, Signal::SIGKILL);
        }
    }
}

impl Child {
    /// Forks a child for `program` and its `kernels`, with `bytes` of memory for its calls.
    pub fn fork(
        nursery: &mut Nursery,
        program: &str,
        kernels: &Kernels,
        bytes: u64,
        limits: &Limits,
    ) -> Result<Self, NurseryError> {
        let on_cpu = !nursery.is_on_gpu();
        let forked = nursery.fork(program, kernels, bytes, limits)?;
        fcntl(&forked.output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        let clock = if on_cpu { Clock::cpu(forked.pid)? } else { Clock::Wall(Instant::now()) };
        Ok(Self {
            clock,
            on_cpu,
            done_at: Duration::ZERO,
            torch_threads: 1,
            fresh_memory: process::usage(forked.pid).memory,
            fresh_threads: 0,
            peak_memory: 0,
            gpu_memory: 0,
            peak_threads: 0,
            output: Captured::default(),
            limits: limits.clone(),
            is_trusted: false,
            has_ended: false,
            compiles: kernels.may_compile,
            forked,
        })
    }

    /// Prepares the device before the program arrives: makes the context of a GPU. Returns how long that took, too. A child
    /// that cannot be prepared ends.
    pub fn prepared(mut self, nursery: &mut Nursery) -> Result<(Self, Duration), JudgeError> {
        let (memory_bytes, threads) = (self.limits.memory_bytes, self.torch_threads);
        match self.prepare_by(&json!({"op": "prepare", "memory_bytes": memory_bytes, "threads": threads})) {
            Ok(took) => Ok((self, took)),
            Err(error) => {
                self.end(nursery, "", String::new())?;
                Err(error)
            }
        }
    }

    /// Makes the context of a GPU by its driver alone, without torch.
    pub fn make_context(&mut self) -> Result<(), JudgeError> {
        self.prepare_by(&json!({"op": "context"})).map(drop)
    }

    fn prepare_by(&mut self, request: &Value) -> Result<Duration, JudgeError> {
        let started = Instant::now();
        self.send(request);
        let unprepared = match self.receive_unlimited() {
            Ok(Message::Prepared { threads }) => {
                self.torch_threads = threads;
                // The context of a GPU and the threads of its driver are not the program's.
                let usage = process::usage(self.forked.pid);
                self.fresh_memory = self.fresh_memory.max(usage.memory);
                (self.peak_memory, self.peak_threads) = (0, 0);
                self.fresh_threads = if self.on_cpu { 0 } else { usage.threads.saturating_sub(1) };
                return Ok(started.elapsed());
            }
            Ok(Message::Raised { message, .. }) => message,
            Ok(other) => format!("unexpected reply {other:?}"),
            Err(Halt::Rejected { rejection, .. }) => format!("it {rejection}"),
            Err(Halt::Broken(error)) => return Err(error),
        };
        self.output.drain(&mut self.forked.output);
        let printed = self.output.text();
        Err(NurseryError::Unprepared([unprepared.as_str(), printed.trim()].join("\n").trim().to_owned()).into())
    }

    /// Receives a reply of the judge's own code, which no limit of the program holds for.
    fn receive_unlimited(&mut self) -> Result<Message, Halt> {
        let of_program = self.limits.clone();
        (self.limits.memory_bytes, self.limits.threads) = (u64::MAX, u32::MAX);
        let received = self.receive(PREPARE_LIMIT);
        self.limits = of_program;
        received
    }

    /// Has the GPU do an empty task of the child, so that a call does not wait for the GPU's turn. Returns how much memory of
    /// the GPU is free, bytes, which may be believed of the judge's own program only. On the CPU nothing happens.
    pub fn wake(&mut self) -> Result<Option<u64>, Halt> {
        if self.on_cpu {
            return Ok(None);
        }
        self.check_silence()?;
        self.send(&json!({"op": "wake"}));
        match self.receive(self.limit(self.limits.times(None).call_seconds))? {
            Message::Awake { free_bytes } => Ok(Some(free_bytes)),
            other => Err(self.failed_call(other)),
        }
    }

    /// Loads the program, which must have the function `required`, under the name `file`: from its compiled `code` if there is any. Otherwise the child compiles
    /// the program, and `code` receives the result unless it is too long.
    pub fn load(&mut self, file: &str, required: Option<&str>, code: &mut Option<String>) -> Result<(), Halt> {
        self.send(&json!({"op": "load", "file": file, "required": required, "code": code}));
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
            Message::Returned { device_seconds: reported_seconds, columns: None, compiled } => {
                Ok(Returned { reported_seconds, compiled: compiled.unwrap_or(0), ..returned })
            }
            other => Err(self.failed_call(other)),
        }
    }

    /// Calls `rebalance_experts`; `None` if the program does not define it.
    pub fn plan(&mut self, call: PlanCall<'_>, input: &PlanInput) -> Result<Option<Returned<Outputs<3>>>, Halt> {
        let most = Maps::most_columns(call.topology);
        self.forked.memory.blank_outputs(&call.layout(most))?;
        let columns = |reply: &Message| match reply {
            Message::Returned { columns: Some(columns), .. } => (*columns).clamp(1, most),
            _ => 1,
        };
        let (returned, reply) = self.exchange(
            |memory| memory.write_input(&input.0),
            call.request().to_string().as_bytes(),
            |memory, reply| memory.copy(&call.layout(columns(reply))),
        )?;
        match reply {
            Message::Returned { device_seconds: None, columns: Some(columns), .. } if (1..=most).contains(&columns) => {
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
        Ok((Returned { outputs, time, wall, reported_seconds: None, compiled: 0 }, reply))
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

    /// Ends the time in which the child may compile functions, whose limit is another one. If its `kernels` are wanted, it
    /// writes them first. Returns how many functions it has compiled and how long that took, seconds, as it reports them.
    pub fn finish_compiling(&mut self, kernels: &mut Kernels) -> Result<Option<(u32, f64)>, Halt> {
        if !self.compiles {
            return Ok(None);
        }
        let kept = if kernels.are_wanted() { Some(self.keep(kernels)?) } else { None };
        self.compiles = false;
        Ok(kept)
    }

    fn keep(&mut self, kernels: &mut Kernels) -> Result<(u32, f64), Halt> {
        self.check_silence()?;
        self.send(&json!({"op": "keep"}));
        let reply = self.receive(self.limit(self.limits.load_seconds));
        self.done_at = self.clock.now()?;
        kernels.seal()?;
        match reply? {
            Message::Kept { compiled, seconds } => Ok((compiled, seconds)),
            other => Err(self.failed_call(other)),
        }
    }

    /// Whether the child may still run compilers.
    pub fn may_compile(&self) -> bool {
        self.forked.may_start
    }

    fn limit(&self, seconds: f64) -> Duration {
        let seconds = if self.may_compile() { seconds.max(self.limits.compile_seconds) } else { seconds };
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
        self.has_ended = true;
        self.output.drain(&mut self.forked.output);
        Ok((status, Evidence { during: during.to_owned(), traceback, output: self.output.text(), seconds: 0.0 }))
    }

    /// Ignores errors: waiting for the reply shows whether the child exited or does not read.
    fn send(&self, message: &Value) {
        let _ = self.forked.channel.send(message, &[]);
    }

    /// Waits for a reply, and checks memory, threads and output meanwhile. The time in which Numba compiles, as the child says,
    /// has a limit of its own.
    fn receive(&mut self, limit: Duration) -> Result<Message, Halt> {
        let mut waited = Waited::new(limit, Duration::from_secs_f64(self.limits.compile_seconds));
        loop {
            match self.forked.channel.receive()? {
                Received::Message(message) => match Message::deserialize(&message) {
                    // A program may forge these without end, so limits are checked here, too.
                    Ok(Message::Compiles { begins }) => {
                        waited.compiles(begins && self.compiles);
                        self.check_limits(Some(&waited))?;
                        continue;
                    }
                    Ok(message) => return Ok(message),
                    Err(_) => return Err(protocol(format!("unknown reply {}", shortened(&message.to_string())))),
                },
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
                self.check_limits(Some(&waited))?;
            }
        }
    }

    /// Checks what a short call could hide from the checks that are made while the judge waits.
    fn check_after_reply(&mut self) -> Result<(), Rejection> {
        if self.is_trusted { Ok(()) } else { self.check_limits(None) }
    }

    fn check_limits(&mut self, waited: Option<&Waited>) -> Result<(), Rejection> {
        self.output.drain(&mut self.forked.output);
        self.check_usage();
        let Limits { output_bytes, memory_bytes, threads, .. } = self.limits;
        if self.output.bytes > output_bytes {
            return Err(Rejection::Output { limit_bytes: output_bytes });
        }
        if self.peak_memory > memory_bytes {
            return Err(self.out_of_memory());
        }
        let used = self.peak_threads.saturating_sub(self.fresh_threads);
        if used > threads {
            return Err(Rejection::Threads { used, limit: threads });
        }
        match waited.and_then(Waited::exceeded) {
            Some(limit) => Err(Rejection::Hang { limit_seconds: limit.as_secs_f64() }),
            None => Ok(()),
        }
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
