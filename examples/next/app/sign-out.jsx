"use client";

import { useRouter } from "next/navigation";
import { useState } from "react";

export function SignOut() {
  const router = useRouter();
  const [reason, setReason] = useState("");

  async function signOut() {
    const response = await fetch("/logout", { method: "POST" }).catch(() => null);
    if (response?.ok) router.refresh();
    else setReason("You are still signed in. Try again.");
  }

  return (
    <>
      <button type="button" onClick={signOut}>
        Sign out
      </button>
      <p role="alert">{reason}</p>
    </>
  );
}
