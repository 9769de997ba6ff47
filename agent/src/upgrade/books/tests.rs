//! From wanted to verified, and every way in which it ends otherwise.

use super::*;
use crate::upgrade::shelf::testing::{Place, key, release};
use tawi_shared::release::{ReleaseKey, SigningKey, Version};

const NOW: UnixMillis = UnixMillis(9);

struct Site {
    place: Place,
    keys: Vec<ReleaseKey>,
    is_enabled: bool,
    running: Option<Sha256>,
    version: String,
}

impl Site {
    fn new() -> Self {
        let keys = vec![key().public()];
        Self { place: Place::new(), keys, is_enabled: true, running: None, version: "0.1.0".into() }
    }

    fn open(&self) -> (Books, Vec<News>) {
        let mut build = Build::this();
        build.mark.version = self.version.parse().unwrap();
        let config = UpgradeConfig { is_enabled: self.is_enabled, keys: self.keys.clone() };
        let starts = Starts::of(&self.place.0);
        Books::open(Shelf::of(&self.place.0), (config, build, self.running), starts, NOW)
    }

    /// The launcher.
    fn start(&mut self) {
        let shelf = Shelf::of(&self.place.0);
        let mut ledger = shelf.ledger().unwrap();
        let start = ledger.choose(&"0.1.0".parse().unwrap(), NOW, |kept| shelf.look(kept, &self.keys));
        shelf.keep(&ledger).unwrap();
        (self.running, self.version) = match start {
            super::super::ledger::Start::Installed => (None, "0.1.0".into()),
            super::super::ledger::Start::Release(manifest) => {
                (Some(manifest.binary_sha256), manifest.version.to_string())
            }
        };
    }
}

fn standing(news: &[News]) -> Option<(ReleaseStanding, String)> {
    news.iter().rev().find_map(|news| match news {
        News::Standing(standing) => standing.clone().map(|standing| (standing.standing, standing.detail)),
        _ => None,
    })
}

fn due(news: &[News]) -> Option<Due> {
    news.iter().rev().find_map(|news| match news {
        News::Due(due) => *due,
        _ => None,
    })
}

fn want(asked: u64, signed: &Signed) -> Errand {
    Errand::Want { asked, releases: vec![signed.clone()] }
}

/// Brings every part that is asked for; how many bytes that were.
fn bring(books: &mut Books, mut news: Vec<News>, file: &[u8], most: usize) -> (Vec<News>, usize) {
    let mut brought = 0;
    while let Some(due) = due(&news)
        && brought < most
    {
        let offset = usize::try_from(due.offset).unwrap();
        let bytes = file[offset..(offset + 700).min(file.len())].to_vec();
        brought += bytes.len();
        news = books.run(Errand::Part { file: due.file, offset: due.offset, bytes }, NOW);
    }
    (news, brought)
}

fn noise() -> Vec<u8> {
    let mut bytes = vec![0; 7_000];
    tawi_shared::IdSource::seeded(4).fill(&mut bytes);
    bytes
}

#[test]
fn a_release_is_fetched_tried_and_verified_and_the_next_one_goes_back() {
    let mut site = Site::new();
    let (signed, manifest, file) = release("0.2.0", &noise());
    let (mut books, news) = site.open();
    assert!(news.is_empty());
    let news = books.run(want(1, &signed), NOW);
    let (_, first) = bring(&mut books, news, &file, 3_000);
    // Told again after another hello, it goes on where it is.
    let news = books.run(want(1, &signed), NOW);
    assert_eq!(due(&news).map(|due| due.offset), u64::try_from(first).ok());
    // Killed in the middle: it goes on at the byte where it stood.
    drop(books);
    let (mut books, _) = site.open();
    let news = books.run(want(1, &signed), NOW);
    assert_eq!(due(&news).map(|due| due.offset), u64::try_from(first).ok());
    let (news, second) = bring(&mut books, news, &file, usize::MAX);
    assert_eq!(first + second, file.len(), "no byte is asked for twice");
    assert!(news.contains(&News::Ready), "{news:?}");
    assert!(books.run(want(1, &signed), NOW).contains(&News::Ready), "told again before it was started");
    assert_eq!(books.run(Errand::Start(vec!["core".into()]), NOW), [News::Switch]);
    drop(books);
    site.start();
    assert_eq!(site.running, Some(manifest.binary_sha256));
    let (mut books, news) = site.open();
    assert!(news.contains(&News::Trial(vec!["core".into()])), "{news:?}");
    let news = books.run(want(1, &signed), NOW);
    assert_eq!(standing(&news).unwrap().0, ReleaseStanding::Trial);
    assert_eq!(standing(&books.run(Errand::Proven, NOW)).unwrap().0, ReleaseStanding::Verified);
    assert_eq!(standing(&books.run(want(2, &signed), NOW)).unwrap().0, ReleaseStanding::Verified);
    // The next one is no good.
    let (next, _, file) = release("0.3.0", b"no good");
    let news = books.run(want(3, &next), NOW);
    bring(&mut books, news, &file, usize::MAX);
    assert_eq!(books.run(Errand::Start(Vec::new()), NOW), [News::Switch]);
    drop(books);
    site.start();
    assert_eq!(site.version, "0.3.0");
    let (mut books, _) = site.open();
    assert_eq!(books.run(Errand::Failed("head office did not welcome it".into()), NOW), [News::Switch]);
    drop(books);
    site.start();
    assert_eq!(site.version, "0.2.0");
    let (mut books, _) = site.open();
    let (where_it_is, why) = standing(&books.run(want(3, &next), NOW)).unwrap();
    assert_eq!((where_it_is, why.as_str()), (ReleaseStanding::RolledBack, "head office did not welcome it"));
    // Asked for anew, it is fetched once more.
    assert!(due(&books.run(want(4, &next), NOW)).is_some());
    // And given up when nothing is wanted any more.
    assert_eq!(
        books.run(Errand::Want { asked: 5, releases: Vec::new() }, NOW),
        [News::Due(None), News::Standing(None)]
    );
    let left: Vec<_> = std::fs::read_dir(books.shelf.directory()).unwrap().collect();
    assert_eq!(left.len(), 2, "the ledger and what runs: {left:?}");
}

#[test]
fn a_doubled_part_is_no_news_and_has_nothing_asked_for_twice() {
    let site = Site::new();
    let (signed, _, file) = release("0.2.0", &noise());
    let (mut books, _) = site.open();
    let mut news = books.run(want(1, &signed), NOW);
    let mut asked = 0;
    // Each comes twice, as where the first was slower than whoever waited for it.
    while let Some(due) = due(&news) {
        asked += 1;
        let offset = usize::try_from(due.offset).unwrap();
        let bytes = file[offset..(offset + 700).min(file.len())].to_vec();
        let part = || Errand::Part { file: due.file, offset: due.offset, bytes: bytes.clone() };
        news = books.run(part(), NOW);
        assert_eq!(books.run(part(), NOW), [], "the part of {offset}");
    }
    assert!(news.contains(&News::Ready), "{news:?}");
    assert_eq!(asked, file.len().div_ceil(700));
}

#[test]
fn what_may_not_be_taken_is_refused_with_words() {
    let (signed, ..) = release("0.2.0", b"program");
    let check = |site: Site, signed: &Signed, words: &str| {
        let (mut books, _) = site.open();
        let (standing, why) = standing(&books.run(want(1, signed), NOW)).unwrap();
        assert!(standing == ReleaseStanding::Refused && why.contains(words), "{why}");
    };
    check(Site { keys: Vec::new(), ..Site::new() }, &signed, "release_keys = ");
    check(Site { is_enabled: false, ..Site::new() }, &signed, "enabled = false");
    let stranger = SigningKey::from_seed(&[9; 32]).unwrap().public();
    check(Site { keys: vec![stranger], ..Site::new() }, &signed, "signed by none");
    let mut flipped = signed.clone();
    flipped.manifest[20] ^= 1;
    check(Site::new(), &flipped, "signed by none");
    check(Site { version: "0.3.0".into(), ..Site::new() }, &signed, "older than the 0.3.0");
    let (_, other, _) = release("0.2.0", b"program");
    let other = key().sign(&Manifest { target: "mips-linux-gnu".into(), ..other });
    check(Site::new(), &other, "it is for mips-linux-gnu");
    let (mut books, _) = Site { version: "0.2.0".into(), ..Site::new() }.open();
    assert_eq!(standing(&books.run(want(1, &signed), NOW)).unwrap().0, ReleaseStanding::Verified);
}

#[test]
fn a_flipped_byte_on_the_way_ends_it_and_parts_of_nobodys_asking_are_passed_over() {
    let site = Site::new();
    let (signed, manifest, file) = release("0.2.0", &noise());
    let (mut books, _) = site.open();
    let news = books.run(want(1, &signed), NOW);
    for (of, offset, bytes) in [
        (Sha256([0; 32]), 0, vec![1]),
        (manifest.file_sha256, 5, vec![1]),
        (manifest.file_sha256, 0, vec![1; 8_000_000]),
        (manifest.file_sha256, u64::MAX, vec![1]),
    ] {
        assert_eq!(books.run(Errand::Part { file: of, offset, bytes }, NOW), []);
    }
    let mut flipped = file.clone();
    flipped[3_000] ^= 4;
    let (news, _) = bring(&mut books, news, &flipped, usize::MAX);
    let (where_it_is, why) = standing(&news).unwrap();
    assert!(where_it_is == ReleaseStanding::Refused && why.contains("not the file that was signed"), "{why}");
    assert_eq!(books.run(Errand::Start(Vec::new()), NOW), []);
    // The same telling finds it refused, also after a restart; a new one begins anew.
    drop(books);
    let (mut books, _) = site.open();
    assert_eq!(standing(&books.run(want(1, &signed), NOW)).unwrap().0, ReleaseStanding::Refused);
    let news = books.run(want(2, &signed), NOW);
    assert_eq!(due(&news).map(|due| due.offset), Some(0));
    let news = books.run(Errand::Part { file: manifest.file_sha256, offset: 0, bytes: Vec::new() }, NOW);
    assert!(standing(&news).unwrap().1.contains("does not have its file"));
    let newer: Version = "0.2.0".parse().unwrap();
    assert_eq!(manifest.version, newer);
}
