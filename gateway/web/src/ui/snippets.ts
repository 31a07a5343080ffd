/** The requests of the page in other words: curl and Python. */

/** Return an address as a curl line. */
export function asCurl(url: string): string {
  // -f would hide the sentence that says what was wrong
  return `curl -sS '${absolute(url).replaceAll("'", "%27")}'`;
}

/** Return addresses as a Python program that needs nothing but Python. */
export function asPython(urls: readonly string[]): string {
  const lines = urls.map((url) => `    ${JSON.stringify(absolute(url))},`);
  return [
    "import json", "import urllib.request", "", "urls = [", ...lines, "]",
    "answers = [json.load(urllib.request.urlopen(url)) for url in urls]",
    "print(json.dumps(answers, indent=2))", "",
  ].join("\n");
}

function absolute(url: string): string {
  return new URL(url, location.origin).href;
}
