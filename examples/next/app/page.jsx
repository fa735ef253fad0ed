import { getUser } from "./session.js";
import { SignOut } from "./sign-out.jsx";

export default async function Page() {
  const user = await getUser();
  if (!user) {
    return (
      <main>
        <h1>Welcome</h1>
        <a href="/login?return_to=/">Sign in</a>
      </main>
    );
  }
  return (
    <main>
      <h1>Hello, {user.name}</h1>
      <SignOut />
    </main>
  );
}
