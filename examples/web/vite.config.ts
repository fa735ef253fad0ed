import { defineConfig } from "vite";

export default defineConfig({
  server: {
    proxy: {
      // The browser sees one origin. `secure: false` accepts the self-signed certificate of `cargo dev`.
      "^/(login|logout|password|sessions|userinfo)([/?]|$)": { target: "https://localhost:4000", secure: false },
    },
  },
});
