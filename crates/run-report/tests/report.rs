//! Folders as runs leave them, and the pages made of them.

use run_report::{Error, Run};
use std::fs;
use std::path::Path;

/// The smallest PNG header; what follows does not matter here.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x04";

fn start(label: &str, images: u64, unix_s: u64) -> String {
    format!(
        r#"{{"event":"start","format":1,"unix_s":{unix_s},"label":"{label}","method":"sid","options":{{"alpha":1.25}},"device":"cuda:0","progress":{{"step":1,"images":{images}}},"total_images":8000,"batch":64,"config":{{"seed":77}}}}"#
    )
}

fn tick(images: u64, loss: &str, non_finite: u64) -> String {
    format!(
        r#"{{"event":"tick","progress":{{"step":1,"images":{images}}},"total_images":8000,"elapsed_s":2.0,"images_per_s":500.0,"terms":{{"fake/loss":{loss}}},"grad_norm":{{"generator":3.5}},"learning_rate":{{"generator":0.0001}},"memory":{{"rss":1073741824,"rss_peak":2147483648}},"non_finite":{non_finite}}}"#
    )
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn page(folder: &Path) -> String {
    Run::read(folder).unwrap().html().unwrap()
}

/// A finished teacher and a student that was resumed and is still running.
fn two_stages() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let end = r#"{"event":"end","outcome":"finished"}"#.to_owned();
    let teacher = [start("a teacher", 0, 100), tick(8000, "0.5", 0), end];
    let student = [
        start("a student", 0, 200),
        tick(2000, "0.75", 2),
        start("a student", 2000, 300),
        tick(4000, "null", 1),
        r#"{"event":"tick","progr"#.into(),
    ];
    write(folder.path(), "teacher/log.jsonl", teacher.join("\n"));
    write(folder.path(), "student/log.jsonl", student.join("\n"));
    write(folder.path(), "student/samples/fake_000002.png", PNG);
    write(folder.path(), "student/samples/fake_000004.png", PNG);
    write(folder.path(), "student/checkpoints/step-1/manifest.json", "an old manifest");
    write(folder.path(), "student/checkpoints/step-2/manifest.json", "the newest manifest");
    write(folder.path(), "settings.toml", "kimg = 8.0");
    write(folder.path(), "student.png", PNG);
    write(folder.path(), "real.png", PNG);
    folder
}

#[test]
fn both_stages_are_on_the_page_in_their_order() {
    let folder = two_stages();
    let page = page(folder.path());
    assert!(page.find("<h2>Teacher").unwrap() < page.find("<h2>Student").unwrap());
    assert!(page.contains("<h1>a student</h1>"));
    for text in ["finished", "no end logged", "4 of 8 kimg", "cuda:0", "1970-01-01 00:01 UTC"] {
        assert!(page.contains(text), "`{text}` is missing");
    }
    for title in ["fake/loss", "gradient norm", "learning rate", "images per second", "memory, GiB"]
    {
        assert_eq!(page.matches(&format!("<strong>{title}</strong>")).count(), 2, "{title}");
    }
    assert!(page.contains("fake/loss: 0.75 at 2 kimg"));
    assert!(page.contains("process, peak: 2 at 4 kimg"));
}

#[test]
fn what_was_measured_has_a_panel() {
    let folder = two_stages();
    let log = folder.path().join("teacher/log.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace(r#""grad_norm""#, r#""metrics":{"FID":7.5},"grad_norm""#))
        .unwrap();
    let page = page(folder.path());
    assert!(page.contains("<strong>FID</strong>") && page.contains("FID: 7.5 at 8 kimg"), "{page}");
    assert!(page.find("<strong>FID</strong>") < page.find("<strong>fake/loss</strong>"));
}

#[test]
fn resumes_and_trouble_are_told() {
    let folder = two_stages();
    let page = page(folder.path());
    assert!(page.matches("<title>resumed</title>").count() >= 4);
    assert!(page.contains("<dt>Resumed</dt><dd>1 time</dd>"));
    assert!(page.contains("Student: 3 turns had a loss or a gradient that was not finite."));
    assert!(page.contains("Student: 1 damaged line of the log left out, the first is line 5."));
    assert!(!page.contains("<li>Teacher"), "the teacher had no trouble");
}

#[test]
fn pictures_and_texts_are_in_the_page() {
    let folder = two_stages();
    let page = page(folder.path());
    // Two results, two samples, and the last sample once more.
    assert_eq!(page.matches("src=\"data:image/png;base64,iVBORw0KGgo").count(), 5);
    assert!(page.contains("width=\"8\" height=\"4\""));
    for text in ["kimg = 8.0", "the newest manifest", "&#34;seed&#34;: 77", "&#34;alpha&#34;: 1.25"]
    {
        assert!(page.contains(text), "`{text}` is missing");
    }
    assert!(!page.contains("an old manifest"));
}

#[test]
fn nothing_outside_of_the_page_is_needed() {
    let folder = two_stages();
    let page = page(folder.path());
    assert!(!page.contains("http://") && !page.contains("https://"));
    assert!(!page.contains("<link") && !page.contains("@import") && !page.contains("url("));
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn texts_of_files_stay_texts() {
    const EVIL: &str = r#"<script>alert(1)</script>'\"><img src=x onerror=alert(2)>"#;
    let folder = tempfile::tempdir().unwrap();
    let stage = "<b>bold<b>";
    let hostile = tick(1, "0.5", 0).replace("fake/loss", EVIL).replace("generator", EVIL);
    let end = format!(r#"{{"event":"end","outcome":"failed","error":"{EVIL}"}}"#);
    let log = [start(EVIL, 0, 1).replace("\"sid\"", &format!("\"{EVIL}\"")), hostile, end];
    write(folder.path(), &format!("{stage}/log.jsonl"), log.join("\n"));
    write(folder.path(), &format!("{stage}/checkpoints/{stage}/manifest.json"), EVIL);
    write(folder.path(), "settings.toml", format!("</pre>{EVIL}"));
    write(folder.path(), "<i>.png", PNG);
    write(folder.path(), "script.png", "<svg onload=alert(3)>");
    let metric =
        format!(r#"{{"name":"{EVIL}","label":"{EVIL}","unit":"{EVIL}","recipe":"{EVIL}"}}"#);
    let report = format!(
        r#"[{{"sampler":"{EVIL}","nfe":1,"n_images":1,"latency":null,"measurements":[{{"info":{metric},"value":1.0}}]}}]"#
    );
    write(folder.path(), "report.json", report);
    let page = page(folder.path());
    assert!(page.matches("&#60;script&#62;alert(1)").count() > 10, "the texts are not shown");
    assert_eq!(page.matches("<script>").count(), 1, "there is another script than the page's own");
    for tag in ["<img src=x", "<b>bold", "<i>", "</pre><script", "<svg onload"] {
        assert!(!page.contains(tag), "`{tag}` was not escaped");
    }
    assert_eq!(page.matches("<pre>").count(), page.matches("</pre>").count());
}

#[test]
fn a_log_in_the_folder_itself_is_a_run() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "log.jsonl", start("alone", 0, 1));
    let page = page(folder.path());
    assert!(page.contains("<h2>Training"));
    assert!(page.contains("0 of 8 kimg"));
}

#[test]
fn a_damaged_report_is_told_and_left_out() {
    let folder = two_stages();
    write(folder.path(), "report.json", "[{");
    let page = page(folder.path());
    assert!(page.contains("report.json is not shown"));
    assert!(!page.contains("<table>"));
}

#[test]
fn what_is_no_run_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = Run::read(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::NoRun { folder: named } if named == folder.path()));
    assert!(error.to_string().contains("log.jsonl"));
    let error = Run::read(&folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
    write(folder.path(), "stage/log.jsonl", "not\na\nlog\n");
    let error = Run::read(folder.path()).unwrap_err();
    assert!(matches!(error, Error::NoEvents { lines: 3, .. }));
}
