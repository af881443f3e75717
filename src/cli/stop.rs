//! Ctrl-C, for commands that end well when they are asked to: what they have seen so far is still told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Whether the end was asked for, by SIGINT or SIGTERM. A second one ends at once.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

/// As a shell names the end by SIGINT.
const INTERRUPTED: i32 = 128 + 2;

impl Interrupt {
    pub fn listen() -> Result<Interrupt> {
        let interrupt = Interrupt(Arc::default());
        let requested = interrupt.0.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("signals cannot be heard")?;
        let (mut interrupts, mut terminates) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let listen = async move {
            loop {
                tokio::select! {
                    _ = interrupts.recv() => {}
                    _ = terminates.recv() => {}
                }
                if requested.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
        Ok(interrupt)
    }

    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
