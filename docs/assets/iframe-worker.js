// Browsers refuse to start workers for pages that are opened from a folder. There the search's worker
// runs in a hidden frame, which looks like a worker to the page.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const from = new URL(url, location.href);
      const frame = (this.frame = document.createElement("iframe"));
      this.waiting = [];
      frame.hidden = true;
      frame.addEventListener("load", () => this.start(from), { once: true });
      document.body.append(frame);
    }

    async start(from) {
      const scope = this.frame.contentWindow;
      const load = (url) =>
        new Promise((loaded, failed) => {
          const script = scope.document.createElement("script");
          script.src = new URL(url, from);
          script.onload = loaded;
          script.onerror = failed;
          scope.document.head.append(script);
        });
      scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      scope.importScripts = async (...urls) => {
        for (const url of urls) await load(url);
      };
      await load(from);
      this.scope = scope;
      this.waiting.splice(0).forEach((data) => this.postMessage(data));
    }

    postMessage(data) {
      if (this.scope) this.scope.dispatchEvent(new MessageEvent("message", { data }));
      else this.waiting.push(data);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
