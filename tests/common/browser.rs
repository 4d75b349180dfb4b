//! Chromium without a window: a page, a script behind it, and what the console says.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

pub struct Browser {
    program: &'static str,
    folder: TempDir,
}

impl Browser {
    /// The browser of this machine; tells that `test` is skipped where there is none.
    pub fn find(test: &str) -> Option<Self> {
        let works =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(works);
        if found.is_none() {
            println!("skipped: {test} (no chromium)");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        found.map(|program| Browser { program, folder })
    }

    /// Opens a page in a window of this size, runs the body of `probe`, which fills the object `said`, and gives that
    /// and the errors on the console.
    pub fn probe(&self, page: &str, size: (u32, u32), probe: &str) -> (Value, Vec<String>) {
        let script = format!(
            "<script>const said = {{}}; const shown = (s) => [...document.querySelectorAll(s)].filter((e) => e.checkVisibility());
            {probe};
            document.body.textContent = 'SAID' + JSON.stringify(said) + 'DIAS';</script></body>"
        );
        let (dom, errors) = self.open(&page.replace("</body>", &script), size);
        let said = dom.split("SAID").nth(1).and_then(|text| text.split("DIAS").next());
        let said =
            said.unwrap_or_else(|| panic!("the script did not come to its end: {errors:?} {dom:.500}"));
        let said =
            said.replace("&gt;", ">").replace("&lt;", "<").replace("&nbsp;", " ").replace("&amp;", "&");
        (serde_json::from_str(&said).expect("JSON"), errors)
    }

    /// Opens a page and gives what became of it, and the errors on the console.
    pub fn open(&self, page: &str, (width, height): (u32, u32)) -> (String, Vec<String>) {
        let path = self.folder.path().join("page.html");
        std::fs::write(&path, page).expect("a page");
        let out = Command::new(self.program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", self.folder.path().join("profile").display()))
            .arg(format!("file://{}", path.display()))
            .output()
            .expect("the browser starts");
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        let errors = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        (String::from_utf8_lossy(&out.stdout).into_owned(), errors)
    }
}
