//! A bare log: one thread takes all that waits, writes it with one call, syncs once, and answers all. The file is filled with
//! zeros first, which makes its syncs as quick as they can be. Nothing reads it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use actix_web::web::Bytes;
use tokio::sync::oneshot;

/// More than all that one run sends.
const FILE_BYTES: usize = 256 << 20;

struct Waiting {
    body: Bytes,
    answer: oneshot::Sender<()>,
}

pub struct Log(Sender<Waiting>);

impl Log {
    pub fn create(path: &Path) -> Log {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).expect("a file");
        file.write_all_at(&vec![0; FILE_BYTES], 0).and_then(|()| file.sync_all()).expect("room on the disk");
        let (append, appended) = channel();
        thread::spawn(move || write(&file, &appended));
        Log(append)
    }

    /// Resolves once it is durable.
    pub fn append(&self, body: Bytes) -> oneshot::Receiver<()> {
        let (answer, appended) = oneshot::channel();
        self.0.send(Waiting { body, answer }).expect("the thread that writes");
        appended
    }
}

fn write(file: &File, appended: &Receiver<Waiting>) {
    let (mut offset, mut group, mut buffer) = (0, Vec::new(), Vec::new());
    while let Ok(first) = appended.recv() {
        buffer.clear();
        for Waiting { body, answer } in std::iter::once(first).chain(appended.try_iter()) {
            buffer.extend_from_slice(&(body.len() as u32).to_le_bytes());
            buffer.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
            buffer.extend_from_slice(&body);
            group.push(answer);
        }
        file.write_all_at(&buffer, offset).and_then(|()| file.sync_data()).expect("the disk");
        offset += buffer.len() as u64;
        group.drain(..).for_each(|answer| _ = answer.send(()));
    }
}
