//! Image files: whole or not there, whatever fails, and damage is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::storage::Storage;
use strata_wal::{
    FileKind, ImageCursor, ImageHeader, ImagePlace, ImageReader, ImageWriter, Lsn, StoreId, WalError,
};

const STORE: &str = "/store";
const ID: StoreId = StoreId(*b"0123456789abcdef");

fn disk() -> SimDisk {
    let disk = SimDisk::new(7);
    disk.create_dir(Path::new(STORE)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn header(number: u64) -> ImageHeader {
    ImageHeader {
        kind: FileKind::Image,
        store: ID,
        log: 2,
        number,
        through: Lsn(4_096 * number),
        created_micros: 5,
    }
}

fn path(number: u64) -> PathBuf {
    Path::new(STORE).join(format!("SNAPSHOTS/002-{number:010}.img"))
}

/// Slices of all sizes, some of them larger than what is written at once.
fn slices() -> Vec<Vec<u8>> {
    [0, 1, 7, 8, 4_096, 700_000, 2_500_000, 13].iter().map(|size| vec![*size as u8; *size]).collect()
}

fn write(disk: &SimDisk, number: u64) -> Result<Vec<ImagePlace>, WalError> {
    let mut writer = ImageWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header(number))?;
    let mut places = Vec::new();
    for (number, slice) in slices().iter().enumerate() {
        places.push(writer.append(slice)?);
        if number % 3 == 0 {
            writer.append_page(&[number as u8; 40])?;
        }
    }
    writer.finish()?;
    Ok(places)
}

fn open(disk: &SimDisk, number: u64) -> Result<ImageReader, WalError> {
    ImageReader::open(disk, Path::new(STORE), ID, (FileKind::Image, 2, number))
}

fn slices_at(image: &ImageReader, place: ImagePlace) -> Result<Vec<Vec<u8>>, WalError> {
    let mut slices = Vec::new();
    image.slices(place, |slice| {
        slices.push(slice.to_vec());
        true
    })?;
    Ok(slices)
}

#[track_caller]
fn expect_whole(disk: &SimDisk, number: u64) {
    let image = open(disk, number).unwrap();
    let pages = [0, 3, 6].map(|page| vec![page; 40]);
    assert_eq!((image.header(), image.pages().unwrap()), (&header(number), pages.to_vec()));
    let mut found = Vec::new();
    image.read_all(|_, slice| found.push(slice.to_vec())).unwrap();
    assert_eq!(found, slices());
}

#[test]
fn an_image_is_read_as_it_was_written_whole_and_slice_by_slice() {
    let disk = disk();
    let places = write(&disk, 1).unwrap();
    expect_whole(&disk, 1);
    let image = open(&disk, 1).unwrap();
    for (place, slice) in places.iter().zip(slices()).rev() {
        assert_eq!(slices_at(&image, *place).unwrap(), [slice]);
    }
    let mut walked = Vec::new();
    image.read_all(|place, _| walked.push(place)).unwrap();
    assert_eq!(walked, places);
    assert_eq!(disk.files().len(), 1, "nothing else is left: {:?}", disk.files());
}

#[test]
fn slices_are_copied_from_one_image_into_another() {
    let disk = disk();
    let places = write(&disk, 1).unwrap();
    let old = open(&disk, 1).unwrap();
    let mut writer = ImageWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header(2)).unwrap();
    let mut cursor = ImageCursor::new();
    writer.append_page(b"first").unwrap();
    cursor.page(5);
    // The last two lie one behind the other.
    let both = places[4].and(places[5]);
    assert_eq!(writer.copy(&old, both).unwrap(), cursor.frames(both.size));
    let behind = writer.append(b"behind").unwrap();
    assert_eq!(behind, cursor.slice(6), "the cursor knows every place in advance");
    let size = writer.finish().unwrap();
    let image = open(&disk, 2).unwrap();
    let copied = ImagePlace { offset: behind.offset - both.size, size: both.size };
    assert_eq!(slices_at(&image, copied).unwrap(), slices()[4..6]);
    image.read_all(|_, _| {}).unwrap();
    assert_eq!((disk.bytes(&path(2)).len() as u64, image.pages().unwrap()), (size, vec![b"first".to_vec()]));

    disk.flip(&path(1), places[4].offset + 100, 3);
    let mut writer = ImageWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header(3)).unwrap();
    let refused = writer.copy(&old, both).unwrap_err();
    assert!(matches!(refused, WalError::Corrupt { .. }), "damage is not copied: {refused}");
}

#[test]
fn an_image_that_is_not_finished_leaves_nothing() {
    let disk = disk();
    let mut writer = ImageWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header(1)).unwrap();
    writer.append(b"a slice").unwrap();
    drop(writer);
    assert_eq!(disk.files(), [] as [PathBuf; 0]);
    assert!(matches!(open(&disk, 1).unwrap_err(), WalError::Corrupt { .. }), "it is missing");
}

/// A fault at every call of the disk, once and for ever; then the power goes.
#[test]
fn whatever_fails_an_image_is_whole_or_not_there() {
    let count = {
        let disk = disk();
        let before = disk.points();
        write(&disk, 1).unwrap();
        disk.points() - before
    };
    assert!(count > 6, "{count} calls of the disk");
    for point in 1..=count {
        for kind in [FaultKind::Error, FaultKind::Torn] {
            for forever in [false, true] {
                let disk = disk();
                write(&disk, 1).unwrap();
                let at = disk.points() + point;
                disk.set_faults(if forever { Faults::forever(at, kind) } else { Faults::once(at, kind) });
                let written = write(&disk, 2);
                disk.set_faults(Faults::none());
                for after in [disk.kill(), disk.power_cycle(point)] {
                    expect_whole(&after, 1);
                    if written.is_ok() || after.files().contains(&path(2)) {
                        expect_whole(&after, 2);
                    }
                    // What is left of a failed one is in nobody's way.
                    write(&after, 2).unwrap();
                    expect_whole(&after, 2);
                }
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_told_with_file_and_offset() {
    let disk = disk();
    write(&disk, 1).unwrap();
    let size = disk.bytes(&path(1)).len() as u64;
    let near_the_end = size - 200..size;
    let places =
        (0..4_096).step_by(97).chain(4_096..4_300).chain((4_300..size).step_by(60_007)).chain(near_the_end);
    for offset in places {
        let damaged = disk.kill();
        damaged.flip(&path(1), offset, (offset % 8) as u8);
        let read = open(&damaged, 1).and_then(|image| {
            image.pages()?;
            image.read_all(|_, _| {})
        });
        match read {
            Err(WalError::Corrupt { file, .. }) => assert_eq!(file, path(1)),
            // Zeros between a frame and the next one say nothing.
            Ok(()) => {
                assert!(disk.bytes(&path(1))[offset as usize] == 0, "bit at {offset} was flipped unnoticed")
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn an_image_cut_short_or_of_another_place_is_refused() {
    let disk = disk();
    write(&disk, 1).unwrap();
    let whole = disk.bytes(&path(1));
    for size in [0, 10, 4_095, 4_096, 4_200, whole.len() - 8, whole.len() - 1] {
        disk.set_bytes(&path(1), &whole[..size]);
        let read = open(&disk, 1).and_then(|image| image.read_all(|_, _| {}));
        assert!(matches!(read, Err(WalError::Corrupt { .. })), "cut to {size} bytes: {read:?}");
    }
    disk.set_bytes(&path(3), &whole);
    let error = open(&disk, 3).unwrap_err();
    assert!(error.to_string().contains("image 1 of log 2 of another place"), "{error}");
    disk.set_bytes(&path(1), &whole);
    let other =
        ImageReader::open(&disk, Path::new(STORE), StoreId([9; 16]), (FileKind::Image, 2, 1)).unwrap_err();
    assert!(matches!(other, WalError::Corrupt { .. }), "{other}");
    let image = open(&disk, 1).unwrap();
    for place in [(0, 48), (4_096, 8), (4_096, u64::MAX), (u64::MAX, 8), (whole.len() as u64, 16)] {
        let place = ImagePlace { offset: place.0, size: place.1 };
        assert!(matches!(slices_at(&image, place), Err(WalError::Corrupt { .. })), "{place:?}");
    }
}

#[test]
fn a_full_device_is_told_and_leaves_nothing() {
    let disk = disk();
    write(&disk, 1).unwrap();
    let used: u64 = disk.files().iter().map(|file| disk.bytes(file).len() as u64).sum();
    disk.set_capacity(Some(used + 1_000_000));
    assert!(matches!(write(&disk, 2).unwrap_err(), WalError::NoSpace { .. }));
    assert_eq!(disk.files(), [path(1)]);
    disk.set_capacity(None);
    write(&disk, 2).unwrap();
    expect_whole(&disk, 2);
}

#[test]
fn pages_are_reached_from_both_ends_of_a_damaged_file_and_what_only_looks_like_one_is_none() {
    let (disk, number) = (disk(), 1);
    let mut writer = ImageWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header(number)).unwrap();
    writer.append_page(b"first").unwrap();
    writer.append(&[5; 100]).unwrap();
    writer.append_page(b"second").unwrap();
    writer.append(&[6; 100]).unwrap();
    writer.append_page(b"third").unwrap();
    writer.finish().unwrap();
    let whole = disk.bytes(&path(number));
    // A value that holds the bytes of a page, at a place where one could be.
    let second = whole.windows(6).position(|bytes| bytes == b"second").unwrap();
    let page = whole[second - 32..second + 8].to_vec();
    let mut damaged = whole.clone();
    let inside = damaged.windows(20).position(|bytes| bytes == [6; 20]).unwrap().next_multiple_of(8);
    damaged[inside..inside + page.len()].copy_from_slice(&page);
    disk.set_bytes(&path(number), &damaged);
    let (pages, damage) = open(&disk, number).unwrap().pages_left();
    assert_eq!((pages, damage.len()), (vec![b"first".to_vec(), b"second".to_vec(), b"third".to_vec()], 0));
    damaged[second] ^= 1;
    disk.set_bytes(&path(number), &damaged);
    let (pages, damage) = open(&disk, number).unwrap().pages_left();
    assert_eq!((pages, damage.len()), (vec![b"first".to_vec(), b"third".to_vec()], 2));
    assert!(open(&disk, number).unwrap().pages().is_err());
}
